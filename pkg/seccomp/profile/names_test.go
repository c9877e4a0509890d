package profile

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNamesAreThoseOfTheKernel reads the table as it is written, since numbers do
// not tell.
func TestNamesAreThoseOfTheKernel(t *testing.T) {
	t.Parallel()
	var rows int
	for _, file := range []string{"names.go", "names_renameat.go", "names_renameat2.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range regexp.MustCompile(`unix\.SYS_(\w+)[\]:].*"(.*)"`).FindAllStringSubmatch(string(source), -1) {
			rows++
			if strings.ToLower(row[1]) != row[2] {
				t.Errorf("SYS_%s is called %q", row[1], row[2])
			}
		}
	}
	if rows != len(names)+1 {
		t.Errorf("%d rows, %d names", rows, len(names))
	}
}
