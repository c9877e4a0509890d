package entry

import (
	"encoding/hex"
	"fmt"
)

// Digest is a sha256.
type Digest [32]byte

// String is the digest in hexadecimal, without an algorithm.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest is the inverse of String.
func ParseDigest(s string) (d Digest, err error) {
	b, err := hex.DecodeString(s)
	// Upper case would be a second name of the same digest.
	if err != nil || len(b) != len(d) || hex.EncodeToString(b) != s {
		return d, fmt.Errorf("%.80q is no sha256 digest: 64 digits of 0-9 and a-f are", s)
	}
	return Digest(b), nil
}
