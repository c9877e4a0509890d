package packed

import (
	"math"
	"reflect"
	"testing"
)

type inner struct {
	number int
	text   string
}

func (i *inner) pack(c *Coder) { c.Int(&i.number); c.String(&i.text) }

type outer struct {
	big     uint64
	small   uint32
	signed  int64
	yes, no bool
	texts   []string
	list    []inner
	some    *inner
	none    *inner
}

func (o *outer) pack(c *Coder) {
	c.Uint64(&o.big)
	c.Uint32(&o.small)
	c.Int64(&o.signed)
	c.Bool(&o.yes)
	c.Bool(&o.no)
	c.Strings(&o.texts)
	Slice(c, &o.list, func(i *inner) { i.pack(c) })
	Pointer(c, &o.some, func(i *inner) { i.pack(c) })
	Pointer(c, &o.none, func(i *inner) { i.pack(c) })
}

func example() *outer {
	return &outer{
		big: math.MaxUint64, small: math.MaxUint32, signed: math.MinInt64, yes: true,
		texts: []string{"", "a\x00\xff"}, list: []inner{{-1, "x"}, {}}, some: &inner{number: 7},
	}
}

func TestValuesComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range []*outer{example(), {}} {
		w := Writer()
		want.pack(w)
		r := Reader(w.Bytes())
		got := &outer{none: &inner{}, texts: []string{"old"}}
		got.pack(r)
		if err := r.End(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	t.Parallel()
	w := Writer()
	example().pack(w)
	data := w.Bytes()
	for n := range data {
		r := Reader(data[:n])
		new(outer).pack(r)
		if r.End() == nil {
			t.Errorf("%d of %d bytes are enough", n, len(data))
		}
	}
	r := Reader(append(data, 0))
	if new(outer).pack(r); r.End() == nil {
		t.Error("a byte more is no error")
	}
}

func TestWhatNoWriterWritesIsAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data string
		read func(*Coder)
	}{
		"bool":         {"\x02", func(c *Coder) { c.Bool(new(bool)) }},
		"wide":         {"\xff\xff\xff\xff\x7f", func(c *Coder) { c.Uint32(new(uint32)) }},
		"endless":      {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", func(c *Coder) { c.Uint64(new(uint64)) }},
		"long string":  {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", func(c *Coder) { c.String(new(string)) }},
		"long list":    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", func(c *Coder) { c.Strings(new([]string)) }},
		"short string": {"\x02a", func(c *Coder) { c.String(new(string)) }},
	} {
		r := Reader([]byte(tc.data))
		if tc.read(r); r.End() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
