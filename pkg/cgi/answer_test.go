package cgi

import (
	"bufio"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func read(text string) (*answer, error) { return readAnswer(bufio.NewReader(strings.NewReader(text))) }

func TestAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]answer{
		"Content-Type: a/b\n\n":                          {200, http.Header{"Content-Type": {"a/b"}}, ""},
		"Content-Type: a/b\r\n\r\nStatus: 404\n":         {200, http.Header{"Content-Type": {"a/b"}}, ""},
		"content-type:a/b \t\nSTATUS:\t404 Not here\n\n": {404, http.Header{"Content-Type": {"a/b"}}, ""},
		"Status: 204\n\n":                                {204, http.Header{}, ""},
		"Status: 599 x\nX-A: 1\nX-A: 2\nX-Empty:\n\n":    {599, http.Header{"X-A": {"1", "2"}, "X-Empty": {""}}, ""},
		"Location: http://a/b\n\n":                       {302, http.Header{"Location": {"http://a/b"}}, ""},
		"Location: //a/b\n\n":                            {302, http.Header{"Location": {"//a/b"}}, ""},
		"Location: /a?b\n\n":                             {0, http.Header{"Location": {"/a?b"}}, "/a?b"},
		"Status: 301\nLocation: /a\n\n":                  {301, http.Header{"Location": {"/a"}}, ""},
		"Status: 200\nContent-Length: 007\n\n":           {200, http.Header{"Content-Length": {"7"}}, ""},
		"Status: 200\nConnection: close\nTransfer-Encoding: chunked\nUpgrade: x\nKeep-Alive: 1\nTrailer: X\n\n": {200, http.Header{}, ""},
	} {
		if a, err := read(text); err != nil || !reflect.DeepEqual(*a, want) {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

func TestNoAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\n":                                  "neither Content-Type",
		"X: 1\n\n":                            "neither Content-Type",
		"Content-Type:\n\n":                   "neither Content-Type",
		"Status: 200\nStatus: 200\n\n":        "two Status",
		"Status:\n\n":                         "neither Content-Type",
		"Status: 20\n\n":                      `Status "20"`,
		"Status: 200OK\n\n":                   `Status "200OK"`,
		"Status: 101\n\n":                     `Status "101"`,
		"Status: 600\n\n":                     `Status "600"`,
		"Status: +99\n\n":                     `Status "+99"`,
		"Location: /a\nLocation: /b\n\n":      "two Locations",
		"Location: /%zz\n\n":                  `Location "/%zz"`,
		"Status: 200\nContent-Length: -1\n\n": `Content-Length "-1"`,
		"Status: 200\nContent-Length: 1\nContent-Length: 1\n\n": `Content-Length "1, 1"`,
		"Status: 200\nContent-Length: 9223372036854775808\n\n":  "Content-Length",
		"no field\n\n":             `"no field" in the place`,
		": x\n\n":                  `": x" in the place`,
		"A B: x\n\n":               `"A B: x" in the place`,
		"Status: 200\n folded\n\n": `" folded" in the place`,
		"X: a\rSet-Cookie: b\n\n":  "in the place",
		"X: a\x00\n\n":             "in the place",
		"X\u00e4: a\n\n":           "in the place",
		"X: " + strings.Repeat("a", maxAnswerHeader) + "\n\n": "longer than",
		strings.Repeat("X: a\n", maxAnswerHeader):             "longer than",
	} {
		if a, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: %+v, %v; want %q", text, a, err, want)
		}
	}
	for _, text := range []string{"", "Status", "Status: 200\n", "Status: 200\n\r"} {
		if a, err := read(text); !errors.Is(err, errCut) {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

// FuzzAnswer looks for what would get into the header of an answer and must not.
func FuzzAnswer(f *testing.F) {
	f.Add("Content-Type: a/b\r\nStatus: 200 OK\n\nbody")
	f.Add("Location: /x\nX: \x01\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := read(text)
		if err != nil {
			return
		}
		if a.local == "" && (a.status < 200 || a.status > 599) {
			t.Errorf("status %d", a.status)
		}
		for name, values := range a.header {
			if dropped[name] || name == "Status" || strings.ContainsAny(name, " \r\n:\x00") {
				t.Errorf("field %q", name)
			}
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Errorf("%s: %q", name, v)
				}
			}
		}
	})
}
