package wire

import "time"

// Any is google.protobuf.Any: an encoded message with the name of its type. Methods
// take nil for an empty one.
type Any struct {
	TypeURL string
	Value   []byte
}

// Fields implements Message.
func (m *Any) Fields(f *Fields) {
	f.String(1, &m.TypeURL)
	f.Bytes(2, &m.Value)
}

// NewAny encodes a message of the given type.
func NewAny(typeURL string, m Message) (*Any, error) {
	data, err := Encode(m)
	if err != nil {
		return nil, err
	}
	return &Any{typeURL, data}, nil
}

// GetTypeURL returns the name of the type.
func (m *Any) GetTypeURL() string {
	if m == nil {
		return ""
	}
	return m.TypeURL
}

// GetValue returns the encoded message.
func (m *Any) GetValue() []byte {
	if m == nil {
		return nil
	}
	return m.Value
}

// Timestamp is google.protobuf.Timestamp.
type Timestamp struct {
	Seconds int64 // since 1970
	Nanos   int32
}

// Fields implements Message.
func (m *Timestamp) Fields(f *Fields) {
	f.Int64(1, &m.Seconds)
	f.Int32(2, &m.Nanos)
}

// Time makes a Timestamp; nil, which is left out, for the zero time.
func Time(t time.Time) *Timestamp {
	if t.IsZero() {
		return nil
	}
	return &Timestamp{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}

// Empty is google.protobuf.Empty, and every other message without fields.
type Empty struct{}

// Fields implements Message.
func (*Empty) Fields(*Fields) {}

// Mount is containerd.types.Mount.
type Mount struct {
	Type    string
	Source  string
	Target  string // below where the first mount goes; "" for that
	Options []string
}

// Fields implements Message.
func (m *Mount) Fields(f *Fields) {
	f.String(1, &m.Type)
	f.String(2, &m.Source)
	f.String(3, &m.Target)
	f.Strings(4, &m.Options)
}
