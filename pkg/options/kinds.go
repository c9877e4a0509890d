package options

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/docker/go-units"
)

func text(name string, field func(*Options) *string) key {
	return key{name, func(o *Options, v any) error {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("want a string in quotes, got %v", v)
		}
		*field(o) = s
		return nil
	}, func(o Options) any { return *field(&o) }}
}

// choice is one of a few words; the empty one is the default.
func choice(name string, field func(*Options) *string, words ...string) key {
	return key{name, func(o *Options, v any) error {
		s, ok := v.(string)
		if !ok || s != "" && !slices.Contains(words, s) {
			return fmt.Errorf("want one of %q, got %#v", words, v)
		}
		*field(o) = s
		return nil
	}, func(o Options) any { return *field(&o) }}
}

func boolean(name string, field func(*Options) *bool) key {
	return key{name, func(o *Options, v any) error {
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("want true or false without quotes, got %#v", v)
		}
		*field(o) = b
		return nil
	}, func(o Options) any { return *field(&o) }}
}

// number is an id or a count.
func number(name string, field func(*Options) *uint32) key {
	return key{name, func(o *Options, v any) error {
		n, ok := integer(v)
		if !ok || n < 0 || n > math.MaxUint32 {
			return fmt.Errorf("want a number from 0 to %d, got %#v", uint32(math.MaxUint32), v)
		}
		*field(o) = uint32(n)
		return nil
	}, func(o Options) any { return int64(*field(&o)) }}
}

// size is a number of bytes, with a binary unit or without: "2GiB", "512m", 1073741824.
func size(name string, field func(*Options) *int64) key {
	return key{name, func(o *Options, v any) error {
		n, ok := integer(v)
		if s, isText := v.(string); isText {
			var err error
			n, err = units.RAMInBytes(s)
			ok = err == nil
		}
		if !ok || n < 0 {
			return fmt.Errorf("want a size such as \"2GiB\" or a number of bytes, got %#v", v)
		}
		*field(o) = n
		return nil
	}, func(o Options) any { return *field(&o) }}
}

// duration is a text such as "90s" or "10m".
func duration(name string, field func(*Options) *time.Duration) key {
	return key{name, func(o *Options, v any) error {
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return fmt.Errorf("want a duration such as \"90s\" or \"10m\", got %#v", v)
		}
		*field(o) = d
		return nil
	}, func(o Options) any { return *field(&o) }}
}

// integer accepts a float that is one: containerd's CRI plugin may hand on a
// number so.
func integer(v any) (int64, bool) {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), true
	}
	n, ok := v.(int64)
	return n, ok
}
