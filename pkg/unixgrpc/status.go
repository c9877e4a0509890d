package unixgrpc

import (
	"errors"
	"strconv"
	"strings"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ending is how a call ended: the trailers grpc-status and grpc-message.
type ending struct {
	known   bool
	code    uint32
	message string
}

// err is nil for OK and otherwise an error of package errdefs.
func (s ending) err() error {
	if !s.known {
		return errors.New("the answer ends without a status")
	}
	if s.code == uint32(codes.OK) {
		return nil
	}
	return errgrpc.ToNative(status.Error(codes.Code(s.code), s.message))
}

// decodeMessage undoes the percent encoding of grpc-message. What is not encoded
// as it should be stays as it is.
func decodeMessage(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
