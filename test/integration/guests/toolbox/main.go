// Command toolbox is what native sidecars of the tests' pods run, and what is
// executed in them to see the pod from inside.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var commands = map[string]func(args []string) error{
	"serve":    serve,
	"tcp":      serveTCP,
	"get":      get,
	"ask":      ask,
	"stubborn": stubborn,
	"status":   status,
	"ps":       ps,
	"fs":       fs,
	"uname":    uname,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "toolbox: no command in %q\n", os.Args)
		os.Exit(1)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { <-term; os.Exit(0) }()
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "toolbox:", err)
		os.Exit(1)
	}
}

// serve PORT answers HTTP; after a request of /fail all others are errors.
func serve(args []string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	sick := make(chan struct{}, 1)
	http.HandleFunc("/fail", func(http.ResponseWriter, *http.Request) {
		select {
		case sick <- struct{}{}:
		default:
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if len(sick) > 0 {
			http.Error(w, "told to fail", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "hello from", host)
	})
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	fmt.Println("serving")
	return http.Serve(l, nil)
}

// tcp PORT answers each connection with a line.
func serveTCP(args []string) error {
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, "hello")
		conn.Close()
	}
}

// get URL prints what a server answers.
func get(args []string) error {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(args[0])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// ask DIR TEXT puts a question into DIR/question and prints DIR/answer.
func ask(args []string) error {
	question, answer := filepath.Join(args[0], "question"), filepath.Join(args[0], "answer")
	if err := os.WriteFile(question+".new", []byte(args[1]), 0o666); err != nil {
		return err
	}
	if err := os.Rename(question+".new", question); err != nil {
		return err
	}
	for range 200 {
		data, err := os.ReadFile(answer)
		if err == nil && strings.HasSuffix(string(data), "\n") {
			_, err = os.Stdout.Write(data)
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("no answer in %s", answer)
}

// stubborn takes no notice of SIGTERM.
func stubborn([]string) error {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ignoring")
	time.Sleep(time.Hour)
	return nil
}

// status prints what the kernel says about this process.
func status([]string) error {
	for _, name := range []string{"status", "uid_map", "cgroup"} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			return err
		}
		fmt.Printf("%s", data)
	}
	return nil
}

// ps prints the pid and the command line of all processes.
func ps([]string) error {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range found {
		data, err := os.ReadFile(path)
		if err == nil {
			fmt.Println(filepath.Base(filepath.Dir(path)), strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return nil
}

// fs PATH prints the type of a file system as a hexadecimal number, and its size.
func fs(args []string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(args[0], &s); err != nil {
		return err
	}
	fmt.Printf("%x %d\n", s.Type, int64(s.Blocks)*s.Bsize)
	return nil
}

func uname([]string) error {
	host, err := os.Hostname()
	fmt.Println(host)
	return err
}
