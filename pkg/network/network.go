// Package network says how far a guest may use the network of its container.
package network

// Policy is one of three; each allows less than the one before.
type Policy uint8

const (
	// Full is what any container may do in its network namespace.
	Full Policy = iota
	// Listen is to serve by the listeners that the container was given, and no way
	// to make others, or connections.
	Listen
	// None is no network at all.
	None
)

// Names are those of the policies, in the same order.
var Names = []string{"full", "listen", "none"}

func (p Policy) String() string { return Names[p] }

// Parse finds a policy by its name; "" is Full.
func Parse(name string) (p Policy, ok bool) {
	if name == "" {
		return Full, true
	}
	for i, n := range Names {
		if n == name {
			return Policy(i), true
		}
	}
	return None, false
}

// And is the one of two policies that allows less.
func (p Policy) And(other Policy) Policy { return max(p, other) }
