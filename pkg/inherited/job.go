package inherited

import (
	"encoding/json"
	"fmt"
	"io"
)

// Job decodes the JSON that tells a process what to do, of max bytes at most, into
// a pointer. It reads to the end. The error wraps io.EOF if there is nothing at
// all: whoever should have written it is gone.
func Job(r io.Reader, max int64, job any) error {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	switch {
	case err != nil:
		return fmt.Errorf("read job: %w", err)
	case len(data) == 0:
		return fmt.Errorf("decode job: %w", io.EOF)
	case int64(len(data)) > max:
		return fmt.Errorf("job is larger than %d bytes", max)
	}
	if err := json.Unmarshal(data, job); err != nil {
		return fmt.Errorf("decode job: %w", err)
	}
	return nil
}
