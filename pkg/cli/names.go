package cli

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
)

// findImage looks an image up by the name that a user gave: exactly, or in the
// short form that Docker has made popular.
func findImage(ctx context.Context, c *containerdapi.Client, name string) (containerdapi.Image, error) {
	full := fullName(name)
	for _, n := range slices.Compact([]string{name, full}) {
		img, err := c.Image(ctx, n)
		switch {
		case err == nil:
			return img, nil
		case errdefs.IsUnavailable(err), errdefs.IsPermissionDenied(err):
			return img, fmt.Errorf("it is no file, and containerd cannot be asked for an image: %w (--address names another socket)", err)
		case !errdefs.IsNotFound(err):
			return img, err
		}
	}
	return containerdapi.Image{}, notFound(ctx, c, name, full)
}

// fullName completes a short name: "app" is docker.io/library/app:latest.
func fullName(name string) string {
	repository, digest, _ := strings.Cut(name, "@")
	if digest != "" {
		digest = "@" + digest
	}
	host, rest, ok := strings.Cut(repository, "/")
	switch {
	case !ok:
		repository = "docker.io/library/" + repository
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		repository = "docker.io/" + repository
	case host == "docker.io" && !strings.Contains(rest, "/"):
		repository = "docker.io/library/" + rest
	}
	if digest == "" && !strings.Contains(path.Base(repository), ":") {
		repository += ":latest"
	}
	return repository + digest
}

// notFound says where an image is that is not in the client's namespace, or which
// ones there have a similar name.
func notFound(ctx context.Context, c *containerdapi.Client, name, full string) error {
	problem := fmt.Sprintf("image %s is not in containerd's namespace %s", show(full), show(c.Namespace))
	namespaces, _ := c.Namespaces(ctx)
	var elsewhere []string
	for _, ns := range namespaces {
		if ns == c.Namespace {
			continue
		}
		other := c.In(ns)
		for _, n := range slices.Compact([]string{name, full}) {
			if _, err := other.Image(ctx, n); err == nil {
				elsewhere = append(elsewhere, "--namespace "+show(ns))
				break
			}
		}
	}
	if len(elsewhere) > 0 {
		return fmt.Errorf("%s, but with %s it is there", problem, strings.Join(elsewhere, " or "))
	}
	all, _ := c.Images(ctx)
	if close := similar(all, full); len(close) > 0 {
		return fmt.Errorf("%s: did you mean %s?", problem, strings.Join(close, " or "))
	}
	return fmt.Errorf("%s, nor one with a similar name: pull it first", problem)
}

// similar finds names whose last part is the same but for tag and digest, or
// contains that of the wanted one.
func similar(all []containerdapi.Image, full string) []string {
	const most = 5
	wanted := lastPart(full)
	var same, longer []string
	for _, img := range all {
		switch last := lastPart(img.Name); {
		case last == wanted:
			same = append(same, show(img.Name))
		case strings.Contains(last, wanted):
			longer = append(longer, show(img.Name))
		}
	}
	slices.Sort(same)
	slices.Sort(longer)
	found := append(same, longer...)
	return found[:min(len(found), most)]
}

// lastPart is "app" for "docker.io/library/app:latest".
func lastPart(name string) string {
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(path.Base(name), ":")
	return name
}

// show makes a stranger's text harmless for terminals.
func show(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
