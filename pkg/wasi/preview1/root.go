package preview1

// root is a directory that paths cannot leave.
type root struct{}

func (r *root) release() {}

// listing is how far a directory has been read.
type listing struct{}

func newPreopen(p Preopen) (*descriptor, error) { return newDescriptor(p.FD) }
