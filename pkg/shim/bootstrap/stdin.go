package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxStdin bounds what containerd sends, in bytes.
const maxStdin = 10 << 20

func readStdin(r io.Reader) ([]byte, error) {
	if f, ok := r.(*os.File); r == nil || (ok && f == nil) {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	if len(data) > maxStdin {
		return nil, errors.New("stdin is larger than 10 MiB")
	}
	return data, nil
}
