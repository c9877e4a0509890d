// Package printable is for text from processes that may be hostile.
package printable

import (
	"strings"
	"unicode"
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
