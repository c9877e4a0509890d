package cell_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
)

// answered starts an inmate that answers requests, without one rule of its filter, sends
// it one whose body it does not read, and one whose answer is cut, and tells what is wrong
// with that.
func answered(t *testing.T, rule int) error {
	t.Helper()
	cmd := exec.Command(inmate, "gateway", fmt.Sprint(rule))
	cmd.Env = append(os.Environ(), "GATEWAY=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	address, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	conn, err := net.Dial("tcp", strings.TrimSpace(address))
	must(t, err)
	defer conn.Close()
	patience := 3 * time.Second // none has to come
	if rule == allRules {
		patience = 30 * time.Second
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	// A body of which something stays unread: the kernel resets such a connection, and
	// forgets the answer, if it is closed without being shut down first.
	go fmt.Fprint(conn, "POST /x HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("x", 500_000))
	answer, err := io.ReadAll(conn)
	_, port, _ := strings.Cut(strings.TrimSpace(address), ":")
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") || !strings.Contains(string(answer), "SERVER_PORT="+port+"\n") {
		return fmt.Errorf("%q, %w, %s", answer, err, &stderr)
	}
	second, err := net.Dial("tcp", strings.TrimSpace(address))
	must(t, err)
	defer second.Close()
	_ = second.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(second, "GET /cut HTTP/1.0\r\n\r\n")
	if answer, err := io.ReadAll(second); !errors.Is(err, unix.ECONNRESET) || !strings.HasPrefix(string(answer), "HTTP/1.0 200 OK\r\n") {
		return fmt.Errorf("cut: %.100q, %w, %s", answer, err, &stderr)
	}
	return nil
}

func TestRequestsAreAnsweredInTheCellOfAGateway(t *testing.T) {
	t.Parallel()
	if err := answered(t, allRules); err != nil {
		t.Error(err)
	}
}

// TestEveryRuleOfAGatewayIsNeeded is TestEveryRuleIsNeeded for those that it has besides.
func TestEveryRuleOfAGatewayIsNeeded(t *testing.T) {
	t.Parallel()
	rules := cell.GatewayPolicy(1, cell.NoSockets).Rules
	for i := len(cell.Policy(1, cell.NoSockets).Rules); i < len(rules); i++ {
		t.Run(fmt.Sprintf("%d-call-%d", i, rules[i].Call), func(t *testing.T) {
			t.Parallel()
			if answered(t, i) == nil {
				t.Error("it is not")
			}
		})
	}
}

func TestNothingElseIsAllowedToAGateway(t *testing.T) {
	t.Parallel()
	for s := cell.NoSockets; s <= cell.OpenSockets; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(inmate, "calls", t.TempDir())
			cmd.Env = append(os.Environ(), variable(s), "GATEWAY=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
