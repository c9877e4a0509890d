package options

import (
	"errors"
	"unicode/utf8"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// Fields of runtimeoptions.v1.Options.
const (
	fieldTypeURL    = 1
	fieldConfigPath = 2
	fieldConfigBody = 3
)

// decodeRunc decodes containerd.runc.v1.Options.
func decodeRunc(message []byte) (o Options, err error) {
	var ignored string
	err = protofields.Each(message, func(n protofields.Number, value []byte, number uint64) error {
		if value == nil {
			switch n {
			case 1:
				o.NoPivotRoot = number != 0
			case 2:
				o.NoNewKeyring = number != 0
			case 4:
				o.IoUID = uint32(number)
			case 5:
				o.IoGID = uint32(number)
			case 9:
				o.SystemdCgroup = number != 0
			}
			return nil
		}
		switch n {
		case 3:
			return setText(&o.ShimCgroup, value)
		case 6:
			return setText(&o.RuncBinary, value)
		case 7:
			return setText(&o.Root, value)
		case 10, 11, 12: // CRIU's, and TaskApiAddress
			return setText(&ignored, value)
		}
		return nil
	})
	return o, err
}

func decodeRuntime(message []byte) (path string, body []byte, err error) {
	var ignored string
	err = protofields.Each(message, func(n protofields.Number, value []byte, _ uint64) error {
		switch {
		case value == nil: // not of the field's type
		case n == fieldTypeURL:
			return setText(&ignored, value)
		case n == fieldConfigPath:
			return setText(&path, value)
		case n == fieldConfigBody:
			body = value
		}
		return nil
	})
	return path, body, err
}

func encodeRuntime(body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	return protofields.AppendString(nil, fieldConfigBody, body)
}

func setText(into *string, value []byte) error {
	if !utf8.Valid(value) {
		return errors.New("a text is not UTF-8")
	}
	*into = string(value)
	return nil
}
