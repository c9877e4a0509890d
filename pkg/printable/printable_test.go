package printable

import "testing"

func TestText(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                             "",
		"ünï <&> 🙂":                    "ünï <&> 🙂",
		"\x1b[2Ja\r\nb\tc\x00\x7f":     " [2Ja  b c  ",
		"\u0085\u009b31m":              "  31m",
		"a\u202eb\u2066c\u2028d\u2029": "a b c d ",
		"\xff\xfe":                     "\ufffd\ufffd",
	} {
		if got := Text(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":            "",
		"0123456789":  "0123456789",
		"0123456789a": "012345 …",
		"ü123ü567890": "ü123 …", // the second ü would end after the limit
		"üüüüüüüüüüü": "üüü …",
	} {
		if got := Cut(s, 10); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
