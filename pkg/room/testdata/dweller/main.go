// dweller goes into a room and then does what it is told, one question per line,
// so that tests see a room as somebody in it does. It is built without cgo.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
)

// order is the first line that it reads.
type order struct {
	Room *room.Room
	Keep []string
	// Before are mounts on the host's side, which nobody else sees: a type and a
	// path each.
	Before [][2]string
	// Refuse makes it fail when everything is mounted.
	Refuse bool
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	if !lines.Scan() {
		os.Exit(1)
	}
	warnings, err := enter(lines.Bytes())
	if err != nil {
		answer("", err)
		os.Exit(1)
	}
	answer(strings.Join(warnings, "\n"), nil)
	for lines.Scan() {
		var question []string
		if err := json.Unmarshal(lines.Bytes(), &question); err != nil {
			panic(err)
		}
		answer(do(question[0], question[1:]))
	}
}

// answer is a line for each question.
func answer(text string, err error) {
	a := map[string]string{"text": text}
	if err != nil {
		a["error"] = err.Error()
	}
	line, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func enter(line []byte) ([]string, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, err
	}
	if err := protectHost(); err != nil {
		return nil, err
	}
	for _, m := range o.Before {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return nil, fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	var root *os.File
	if o.Room.Join {
		root = os.NewFile(3, "root")
		defer root.Close()
	}
	return o.Room.Enter(root, o.Keep, func() error {
		if o.Refuse {
			return errors.New("refused")
		}
		if _, err := os.Stat(o.Room.Root + o.Room.Cwd); err != nil {
			return fmt.Errorf("the host is gone, or the room not complete: %w", err)
		}
		return nil
	})
}

// protectHost keeps a room that is not what it should be from making files on the
// host: only the tests' own directories can be written to.
func protectHost() error {
	const recursive = unix.MS_REC
	if err := unix.Mount("", "/", "", recursive|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	own := os.TempDir()
	if err := unix.Mount(own, own, "", unix.MS_BIND|recursive, ""); err != nil {
		return err
	}
	for _, place := range []string{"/", "/dev", "/run"} { // most are mounts
		err := unix.MountSetattr(unix.AT_FDCWD, place, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

// do does one thing. Modes are in octal.
func do(what string, args []string) (string, error) {
	switch what {
	case "stat":
		var st unix.Stat_t
		err := unix.Stat(args[0], &st)
		return fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid), err
	case "read":
		data, err := os.ReadFile(args[0])
		return string(data), err
	case "write":
		return "", os.WriteFile(args[0], []byte(args[1]), 0o666)
	case "fill": // until the disk is full
		return "", os.WriteFile(args[0], make([]byte, 1<<20), 0o666)
	case "open":
		f, err := os.OpenFile(args[0], os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		return "", err
	case "mkdir":
		return "", os.Mkdir(args[0], 0o777)
	case "ls":
		entries, err := os.ReadDir(args[0])
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	case "link":
		return os.Readlink(args[0])
	case "cwd":
		return os.Getwd()
	case "exec":
		return "", exec.Command(args[0]).Run()
	case "flags":
		var fs unix.Statfs_t
		err := unix.Statfs(args[0], &fs)
		return strconv.FormatInt(fs.Flags, 16), err
	case "magic":
		return strconv.FormatBool(room.HasMagicLinks()), nil
	case "who":
		groups, err := os.Getgroups()
		umask := unix.Umask(0)
		unix.Umask(umask)
		return fmt.Sprintf("%d:%d %v %o", os.Getuid(), os.Getgid(), groups, umask), err
	case "limit":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return "", err
		}
		var l unix.Rlimit
		err = unix.Getrlimit(n, &l)
		return fmt.Sprintf("%d:%d", l.Cur, l.Max), err
	case "names":
		var u unix.Utsname
		err := unix.Uname(&u)
		return unix.ByteSliceToString(u.Nodename[:]) + " " + unix.ByteSliceToString(u.Domainname[:]), err
	case "lo":
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			return "", err
		}
		return lo.Flags.String(), nil
	case "directories": // that are open
		var open []string
		for fd := range 1024 {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				open = append(open, strconv.Itoa(fd))
			}
		}
		return strings.Join(open, " "), nil
	}
	return "", fmt.Errorf("what is %q", what)
}
