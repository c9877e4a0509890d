package quick

// Actions of the command line.
const (
	ActionStart  = "start"
	ActionDelete = "delete"
)

// Command is the command line with which containerd runs an action.
type Command struct {
	// Namespace and ID name the container.
	Namespace, ID string
	// Address is containerd's gRPC socket.
	Address string
	// Bundle is only given with delete.
	Bundle string
	Debug  bool
	// Action is ActionStart or ActionDelete.
	Action string
}

// Parse reads a command line without the program's name. It is sure only of a
// correct one with an action.
func Parse(args []string) (c Command, sure bool) {
	var ignored string
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		name := args[0][1:]
		if name[0] == '-' {
			name = name[1:]
		}
		name, value, given := cut(name, '=')
		args = args[1:]
		if name == "debug" && !given {
			c.Debug = true
			continue
		}
		var into *string
		switch name {
		case "namespace":
			into = &c.Namespace
		case "id":
			into = &c.ID
		case "address":
			into = &c.Address
		case "bundle":
			into = &c.Bundle
		case "socket", "publish-binary", "debug-socket":
			into = &ignored
		default:
			return Command{}, false
		}
		if !given {
			if len(args) == 0 {
				return Command{}, false
			}
			value, args = args[0], args[1:]
		}
		*into = value
	}
	if len(args) == 0 || !validName(c.Namespace) || !validName(c.ID) {
		return Command{}, false
	}
	c.Action = args[0]
	return c, c.Action == ActionStart || c.Action == ActionDelete
}

// validName tells whether a name can be a part of a path.
func validName(s string) bool {
	return s != "" && s != "." && s != ".." && index(s, "/") < 0 && index(s, "\x00") < 0
}

// cut splits s at the first separator.
func cut(s string, separator byte) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == separator {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// index is the place of part in s, or -1.
func index[T string | []byte](s T, part string) int {
	for i := 0; i+len(part) <= len(s); i++ {
		if string(s[i:i+len(part)]) == part {
			return i
		}
	}
	return -1
}
