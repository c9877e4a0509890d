package quick

// maxDepth bounds how deep a document may be nested.
const maxDepth = 500

// members calls f for each member of a JSON object, with its value as it is
// written. It is sure only if the document is correct, also in what f ignores, if
// f is, and if no name needs decoding.
func members(document []byte, f func(name string, value []byte) (sure bool)) (sure bool) {
	s := scanner{rest: document}
	s.space()
	if !s.object(0, f) {
		return false
	}
	s.space()
	return len(s.rest) == 0
}

// text is the value of a string that is written as it is.
func text(value []byte) (s string, sure bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	value = value[1 : len(value)-1]
	for _, c := range value {
		if c == '\\' || c >= 0x80 {
			return "", false
		}
	}
	return string(value), true
}

// number is the value of a small whole number.
func number(value []byte) (n uint32, sure bool) {
	const most = 9 // digits; more might not fit
	if len(value) == 0 || len(value) > most {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint32(c-'0')
	}
	return n, true
}

// resembles tells whether package encoding/json might take one name for the other.
func resembles(name, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i := range len(name) {
		if name[i]|0x20 != other[i]|0x20 {
			return false
		}
	}
	return true
}

// quote encodes a string. What is no UTF-8 stays as it is: a decoder replaces it.
func quote(s string) []byte {
	const digits = "0123456789abcdef"
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// scanner goes through a document. Its methods return false where the document is
// not correct; rest is then of no use.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

// next is the first character after space, and 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if len(s.rest) == 0 {
		return 0
	}
	return s.rest[0]
}

// take goes over a character if it is the next.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) object(depth int, f func(name string, value []byte) bool) bool {
	if depth > maxDepth || !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		s.space()
		name := s.rest
		if !s.string() {
			return false
		}
		name = name[:len(name)-len(s.rest)]
		if !s.take(':') {
			return false
		}
		s.space()
		value := s.rest
		if !s.value(depth) {
			return false
		}
		if f != nil {
			decoded, sure := text(name)
			if !sure || !f(decoded, value[:len(value)-len(s.rest)]) {
				return false
			}
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth > maxDepth || !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) value(depth int) bool {
	switch c := s.next(); c {
	case '{':
		return s.object(depth+1, nil)
	case '[':
		return s.array(depth + 1)
	case '"':
		return s.string()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if len(s.rest) < len(w) || string(s.rest[:len(w)]) != w {
		return false
	}
	s.rest = s.rest[len(w):]
	return true
}

func (s *scanner) string() bool {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		return false
	}
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return true
		case c < 0x20:
			return false
		case c == '\\':
			i++
			if i == len(s.rest) {
				return false
			}
			switch s.rest[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(s.rest) || !hexadecimal(s.rest[i+1:i+5]) {
					return false
				}
				i += 4
			default:
				return false
			}
		}
	}
	return false
}

func hexadecimal(digits []byte) bool {
	for _, c := range digits {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

func (s *scanner) number() bool {
	s.character("-")
	if !s.character("0") && !s.digits() {
		return false
	}
	if s.character(".") && !s.digits() {
		return false
	}
	if s.character("eE") {
		s.character("+-")
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	found := false
	for s.character("0123456789") {
		found = true
	}
	return found
}

// character goes over one of several characters, without space before it.
func (s *scanner) character(any string) bool {
	if len(s.rest) == 0 {
		return false
	}
	for i := range len(any) {
		if s.rest[0] == any[i] {
			s.rest = s.rest[1:]
			return true
		}
	}
	return false
}
