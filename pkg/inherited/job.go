package inherited

import (
	"encoding/json"
	"fmt"
	"io"
)

// Read reads to the end what tells a process what to do, max bytes at most. The
// error wraps io.EOF if there is nothing at all: whoever should have written it is
// gone.
func Read(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read job: %w", err)
	case len(data) == 0:
		return nil, fmt.Errorf("decode job: %w", io.EOF)
	case int64(len(data)) > max:
		return nil, fmt.Errorf("job is larger than %d bytes", max)
	}
	return data, nil
}

// Job decodes the JSON that Read reads into a pointer.
func Job(r io.Reader, max int64, job any) error {
	data, err := Read(r, max)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, job); err != nil {
		return fmt.Errorf("decode job: %w", err)
	}
	return nil
}
