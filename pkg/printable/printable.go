// Package printable is for text from processes that may be hostile.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text replaces what would write escape sequences into logs and terminals, begin
// new lines, or let text run backwards, by spaces. The result is valid UTF-8.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// Cut shortens a text to max bytes at most, and shows that it did. It takes
// characters away as a whole.
func Cut(s string, max int) string {
	const mark = " …"
	if len(s) <= max {
		return s
	}
	end := max - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
