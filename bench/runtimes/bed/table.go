package bed

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is for people: as text, and as Markdown. The first column is text, the
// others are figures.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
	Note   string // below it; may be empty
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Text writes it in columns.
func (t *Table) Text(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", t.Title)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		fmt.Fprintf(tab, "%s\n", strings.Join(row, "\t"))
	}
	tab.Flush()
	if t.Note != "" {
		fmt.Fprintf(w, "%s\n", t.Note)
	}
}

// Markdown writes it without its title.
func (t *Table) Markdown(w io.Writer) {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(t.Header, " | "), strings.Repeat("--:|", len(t.Header)-1))
	for _, row := range t.Rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	if t.Note != "" {
		fmt.Fprintf(w, "\n%s\n", t.Note)
	}
}
