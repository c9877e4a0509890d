package direct

import (
	"os"
	"strings"
	"testing"
)

// document is docs/oci-spec.md: what is said about each field.
func document(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../../docs/oci-spec.md")
	check(t, err)
	rows := map[string]string{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `") || len(cells) < 4 {
			continue
		}
		field := strings.Trim(cells[1], " `")
		if _, ok := rows[field]; ok {
			t.Errorf("there are two rows for %s", field)
		}
		rows[field] = strings.TrimSpace(cells[2])
	}
	return rows
}

func TestDocumentHasARowForEachField(t *testing.T) {
	t.Parallel()
	rows := document(t)
	for _, l := range leaves(t) {
		says, ok := rows[l.path]
		if !ok {
			t.Errorf("there is no row for %s", l.path)
			continue
		}
		delete(rows, l.path)
		direct := says == "direct" || strings.HasPrefix(says, "direct if ") && strings.HasSuffix(says, ", else runc")
		if !direct && says != "runc" {
			t.Errorf("%s: %q is not a launcher", l.path, says)
		}
		if direct != fields[l.path] {
			t.Errorf("%s is %q, but in the list of fields: %v", l.path, says, fields[l.path])
		}
	}
	for field := range rows {
		t.Errorf("%s is no field of the specification", field)
	}
}

// TestConditionsAreTested: conditions_test.go has cases for both sides.
func TestConditionsAreTested(t *testing.T) {
	t.Parallel()
	cases := conditions()
	for field, says := range document(t) {
		c, ok := cases[field]
		if conditional := strings.HasPrefix(says, "direct if "); conditional != ok {
			t.Errorf("%s is %q, but has cases: %v", field, says, ok)
		}
		if ok && (len(c.direct) == 0 || len(c.runc) == 0) {
			t.Errorf("%s has cases for one side only", field)
		}
		delete(cases, field)
	}
	for field := range cases {
		t.Errorf("%s has cases, but no row", field)
	}
}
