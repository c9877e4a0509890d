package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

func readStdin(r io.Reader) ([]byte, error) {
	if f, ok := r.(*os.File); r == nil || (ok && f == nil) {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r, quick.MaxStdin+1))
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	if len(data) > quick.MaxStdin {
		return nil, errors.New("stdin is larger than 10 MiB")
	}
	return data, nil
}
