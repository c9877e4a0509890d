package image

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// FromDockerfile makes the image that `docker build dir` would make, for the
// Dockerfiles of the examples: FROM scratch, COPY of one file, ENTRYPOINT and
// CMD in their JSON form. Anything else is an error.
func FromDockerfile(name, dir string) (Image, error) {
	img := Image{Name: name, Files: map[string]File{}}
	f, err := os.Open(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		return img, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := img.instruct(dir, line); err != nil {
			return img, fmt.Errorf("%s: %q: %w", f.Name(), line, err)
		}
	}
	return img, lines.Err()
}

// instruct carries one line of a Dockerfile out.
func (i *Image) instruct(dir, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "FROM":
		if rest != "scratch" {
			return fmt.Errorf("only FROM scratch is understood here")
		}
		return nil
	case "COPY":
		from, to, ok := strings.Cut(rest, " ")
		if !ok || strings.Contains(to, " ") || strings.HasPrefix(from, "-") {
			return fmt.Errorf("only COPY FILE DESTINATION is understood here")
		}
		return i.copy(filepath.Join(dir, from), to)
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &i.Config.Entrypoint)
	case "CMD":
		return json.Unmarshal([]byte(rest), &i.Config.Cmd)
	}
	return fmt.Errorf("this instruction is not understood here")
}

func (i *Image) copy(from, to string) error {
	if strings.HasSuffix(to, "/") {
		to += filepath.Base(from)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	i.Files[path.Clean("/"+to)] = File{Data: data, Mode: int64(info.Mode().Perm())}
	return nil
}
