package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unsafe"

	"github.com/tetratelabs/wazero"
)

// exchange takes the place of the directory in which wazero would keep compiled
// code: it implements wazero's internal interface filecache.Cache.
type exchange struct {
	// compiled is what the compiler wrote, if it has compiled.
	compiled []byte
	// offer is the code to take; nil if there is none.
	offer io.ReadCloser
}

// ErrInternals is wrapped by errors about a wazero that looks different inside
// from the one that this package was written for. There is no way to exchange
// code with it.
var ErrInternals = errors.New("wazero has changed inside")

// cache returns a compilation cache of wazero that uses e.
func (e *exchange) cache() (wazero.CompilationCache, error) {
	cache := wazero.NewCompilationCache()
	return cache, e.inject(reflect.ValueOf(cache))
}

// inject sets the field of wazero's cache that would be the directory. It is not
// exported, and wazero has no other way to exchange code.
func (e *exchange) inject(cache reflect.Value) error {
	if cache.Kind() != reflect.Pointer || cache.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%w: its cache is a %s", ErrInternals, cache.Type())
	}
	field := cache.Elem().FieldByName("fileCache")
	switch {
	case !field.IsValid() || field.Kind() != reflect.Interface:
		return fmt.Errorf("%w: its cache has no interface to files", ErrInternals)
	case !reflect.TypeOf(e).Implements(field.Type()):
		return fmt.Errorf("%w: its cache wants another interface, %s", ErrInternals, field.Type())
	}
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(e))
	return nil
}

// Get implements the method of wazero's interface. The key is that of what wazero
// decoded, which need not be the whole module: whoever offers code has compared
// the keys of the modules.
func (e *exchange) Get([32]byte) (content io.ReadCloser, ok bool, err error) {
	return e.offer, e.offer != nil, nil
}

// Add implements the method of wazero's interface.
func (e *exchange) Add(_ [32]byte, content io.Reader) (err error) {
	if whole, ok := content.(*bytes.Reader); ok && whole.Len() > 0 {
		// It hands out its buffer, tens of megabytes, which nobody writes to again.
		_, err = whole.WriteTo((*taker)(&e.compiled))
		return err
	}
	e.compiled, err = io.ReadAll(content)
	return err
}

// Delete implements the method of wazero's interface, which calls it when it
// finds that the code is another version's.
func (e *exchange) Delete([32]byte) error { return errors.New("it is of another version of wazero") }

// taker keeps the one piece that is written to it.
type taker []byte

func (t *taker) Write(b []byte) (int, error) {
	if *t != nil {
		return 0, errors.New("a buffer in two pieces")
	}
	*t = b[:len(b):len(b)]
	return len(b), nil
}
