// Package packed turns values into bytes and back, one after the other and without
// names: for what one process of this program tells another one of the same binary.
// It does without reflection, which takes a process that decodes one message longer
// than anything else about it.
package packed

import (
	"encoding/binary"
	"errors"
)

// Coder is either a writer or a reader. One function can name the fields of a
// struct for both: each method writes the value behind a pointer, or replaces it
// with what has been read.
type Coder struct {
	data    []byte
	reading bool
	failed  bool
}

// Writer returns a coder that writes.
func Writer() *Coder { return &Coder{} }

// Reader returns a coder that reads what a writer wrote. What it reads has no part
// of data.
func Reader(data []byte) *Coder { return &Coder{data: data, reading: true} }

// Bytes is what has been written.
func (c *Coder) Bytes() []byte { return c.data }

// Reading tells readers from writers.
func (c *Coder) Reading() bool { return c.reading }

// errMalformed is about bytes that no writer wrote in this order.
var errMalformed = errors.New("it is not what was written")

// End returns the error of a reader that has not found what it was asked for, and
// nothing more.
func (c *Coder) End() error {
	if c.reading && (c.failed || len(c.data) > 0) {
		return errMalformed
	}
	return nil
}

// fail makes everything that is read later zero.
func (c *Coder) fail() { c.failed, c.data = true, nil }

// Uint64 codes a number.
func (c *Coder) Uint64(v *uint64) {
	if !c.reading {
		c.data = binary.AppendUvarint(c.data, *v)
		return
	}
	read, n := binary.Uvarint(c.data)
	if n <= 0 {
		*v = 0
		c.fail()
		return
	}
	*v, c.data = read, c.data[n:]
}

// Uint32 codes a number.
func (c *Coder) Uint32(v *uint32) {
	wide := uint64(*v)
	c.Uint64(&wide)
	if *v = uint32(wide); uint64(*v) != wide {
		*v = 0
		c.fail()
	}
}

// Int64 codes a number.
func (c *Coder) Int64(v *int64) {
	bits := uint64(*v)
	c.Uint64(&bits)
	*v = int64(bits)
}

// Int codes a number.
func (c *Coder) Int(v *int) {
	wide := int64(*v)
	c.Int64(&wide)
	*v = int(wide)
}

// Bool codes a truth value.
func (c *Coder) Bool(v *bool) {
	var bit uint64
	if *v {
		bit = 1
	}
	c.Uint64(&bit)
	if *v = bit == 1; bit > 1 {
		c.fail()
	}
}

// String codes any bytes.
func (c *Coder) String(v *string) {
	size := uint64(len(*v))
	c.Uint64(&size)
	if !c.reading {
		c.data = append(c.data, *v...)
		return
	}
	if size > uint64(len(c.data)) {
		*v = ""
		c.fail()
		return
	}
	*v, c.data = string(c.data[:size]), c.data[size:]
}

// Strings codes a list.
func (c *Coder) Strings(v *[]string) { Slice(c, v, c.String) }

// Slice codes a list whose elements code does. An empty one is read as nil.
func Slice[T any](c *Coder, v *[]T, code func(*T)) {
	length := uint64(len(*v))
	c.Uint64(&length)
	if c.reading {
		*v = nil
		if length > uint64(len(c.data)) { // each takes a byte at least
			c.fail()
			return
		}
		if length > 0 {
			*v = make([]T, length)
		}
	}
	for i := range *v {
		code(&(*v)[i])
	}
}

// Pointer codes what may not be there.
func Pointer[T any](c *Coder, v **T, code func(*T)) {
	there := *v != nil
	c.Bool(&there)
	switch {
	case !there:
		*v = nil
		return
	case c.reading:
		*v = new(T)
	}
	code(*v)
}
