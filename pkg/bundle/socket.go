package bundle

// Socket says where the shim of this container listens. The start helper writes
// it before there is a socket, so that the delete helper finds what a failed
// start left.
type Socket struct {
	// Path of the socket, without "unix://".
	Path string
}

type socketJSON struct {
	Version int    `json:"version"`
	Path    string `json:"path"`
}

// WriteSocket records the shim's socket.
func (d Dir) WriteSocket(s Socket) error {
	return writeJSON(d.Path(socketFile), socketJSON{Version: socketVersion, Path: s.Path})
}

// ReadSocket reads the shim's socket. errors.Is(err, fs.ErrNotExist) holds when
// none is recorded.
func (d Dir) ReadSocket() (Socket, error) {
	var s socketJSON
	if err := readJSON(d.Path(socketFile), socketVersion, &s); err != nil {
		return Socket{}, err
	}
	return Socket{Path: s.Path}, nil
}

// WriteAddress records the shim's address ("unix://…") where containerd 1.6 and
// 1.7 look for it after a restart.
func (d Dir) WriteAddress(address string) error {
	return WriteFile(d.Path(addressFile), []byte(address))
}
