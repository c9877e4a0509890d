// Package escaped is a guest that has left wazero's sandbox: native code in the
// process of a runner, which tries to get further. It is for test builds of the
// shim (build tag escapedguest) and nowhere else, since no image can bring machine
// code.
//
// Each attack does no harm where it succeeds.
package escaped

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Argument is the guest's first argument that makes it escape. The second one is
// a Target as JSON, the rest are names of attacks; none are all.
const Argument = "--escape"

// Target is what there is to win. Paths are the host's.
type Target struct {
	// Secret is a file whose content is Token.
	Secret, Token string
	// Pid is a process outside the container; with the host's PIDs it has this one.
	Pid int
	// Hidden are directories and files that are nobody's business.
	Hidden []string
	// Sockets are unix sockets that listen; Abstract is one by name, TCP an address.
	Sockets  []string
	Abstract string
	TCP      string
	// Image is the directory of the image's files, Volume one that the container
	// shares with the host. Both have the device nodes disk and kmsg.
	Image, Volume string
}

// Attack is one try. It succeeds, with a description of the loot, or the error
// tells why not.
type Attack struct {
	Name string
	Try  func(*Target) (loot string, err error)
	// Ends tells that it may end the process. It has to be asked for by name.
	Ends bool
}

// Attacks are all.
func Attacks() []Attack {
	var all []Attack
	for _, group := range [][]Attack{files(), descriptors(), programs(), processes(), devices(), mounts(), privileges(), kernel(), network(), keys(), exhaustion()} {
		all = append(all, group...)
	}
	return append(all, foreign()...)
}

// Verdicts, the second column of Main's output.
const (
	Refused   = "refused"
	Succeeded = "SUCCEEDED"
)

// Main makes attacks and writes a line for each: its name, a verdict and details,
// with tabs in between. It returns the exit status.
func Main(args []string, out io.Writer) int {
	var target Target
	if err := json.Unmarshal([]byte(args[0]), &target); err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	named := map[string]bool{}
	for _, name := range args[1:] {
		named[name] = true
	}
	for _, a := range Attacks() {
		if named[a.Name] || len(named) == 0 && !a.Ends {
			verdict, details := a.run(&target)
			fmt.Fprintf(out, "%s\t%s\t%s\n", a.Name, verdict, strings.Join(strings.Fields(details), " "))
		}
	}
	return 0
}

func (a Attack) run(t *Target) (verdict, details string) {
	defer func() {
		if fault := recover(); fault != nil {
			verdict, details = Refused, fmt.Sprint(fault)
		}
	}()
	loot, err := a.Try(t)
	if err != nil {
		return Refused, err.Error()
	}
	return Succeeded, loot
}

// first returns the first success of several ways to the same thing, or all
// errors.
func first(ways ...func() (string, error)) (string, error) {
	var all []error
	for _, way := range ways {
		loot, err := way()
		if err == nil {
			return loot, nil
		}
		all = append(all, err)
	}
	return "", errors.Join(all...)
}

// token reads a file, which is loot only if it is the secret.
func (t *Target) token(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(data), t.Token) {
		return "", fmt.Errorf("%s is not the secret", path)
	}
	return "the secret from " + path, nil
}
