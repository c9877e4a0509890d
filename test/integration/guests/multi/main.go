// Command multi is the guest of the tests: a few small programs in one, built
// as a WASI module and as a native binary.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("multi: no command")
		return
	}
	commands := map[string]func([]string) error{
		"exit":  exit,
		"echo":  func(args []string) error { _, err := fmt.Println(strings.Join(args, " ")); return err },
		"args":  func(args []string) error { _, err := fmt.Printf("%q\n", os.Args); return err },
		"cat":   cat,
		"spin":  spin,
		"sleep": sleep,
		"tick":  tick,
		"env":   env,
		"cwd":   cwd,
		"read":  read,
		"write": write,
		"ls":    list,
		"trap":  func([]string) error { trap(); return nil },
		"alloc": alloc,
		"burst": burst,
		"both":  both,
		"time":  func([]string) error { _, err := fmt.Println(time.Now().Unix()); return err },
	}
	run, ok := commands[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no command %q", os.Args[1]))
	}
	if err := run(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "multi:", err)
	os.Exit(1)
}

// exit N ends with that status.
func exit(args []string) error {
	n, err := number(args, 0)
	if err != nil {
		return err
	}
	os.Exit(n)
	return nil
}

// cat copies stdin to stdout until its end.
func cat([]string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return err
}

// spin says "spinning" and then never calls the host again.
func spin([]string) error {
	fmt.Println("spinning")
	for {
		spinCount++
	}
}

var spinCount uint64

// sleep [SECONDS] says "sleeping", waits, and says "awake". As a native
// process it lets SIGTERM end it, which pid 1 does not do by default.
func sleep(args []string) error {
	d := 24 * time.Hour
	if len(args) > 0 {
		seconds, err := strconv.ParseFloat(args[0], 64)
		if err != nil {
			return err
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("sleeping")
	select {
	case <-time.After(d):
	case <-term:
		os.Exit(143)
	}
	fmt.Println("awake")
	return nil
}

// tick writes "tick N" every 100 ms.
func tick([]string) error {
	for n := 1; ; n++ {
		if _, err := fmt.Println("tick", n); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// env prints the environment, sorted by nobody.
func env([]string) error {
	_, err := fmt.Println(strings.Join(os.Environ(), "\n"))
	return err
}

func cwd([]string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	_, err = fmt.Println(dir)
	return err
}

// read FILE prints a file.
func read(args []string) error {
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

// write FILE TEXT replaces a file.
func write(args []string) error {
	return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
}

// ls DIR prints the names in a directory.
func list(args []string) error {
	found, err := os.ReadDir(args[0])
	if err != nil {
		return err
	}
	for _, e := range found {
		fmt.Println(e.Name())
	}
	return nil
}

// alloc MiB [hold] takes memory, touches every page of it, and says so.
func alloc(args []string) error {
	n, err := number(args, 1)
	if err != nil {
		return err
	}
	blocks := make([][]byte, 0, n)
	for range n {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		blocks = append(blocks, b)
	}
	fmt.Println("allocated", len(blocks), "MiB")
	if len(args) > 1 {
		return sleep(nil)
	}
	return nil
}

// burst MiB writes that much in lines of 64 bytes, each with its number, and
// ends at once.
func burst(args []string) error {
	n, err := number(args, 1)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	for i := range n << 20 / 64 {
		if _, err := fmt.Fprintf(w, "%063d\n", i); err != nil {
			return err
		}
	}
	return w.Flush()
}

// both writes to stdout and to stderr.
func both([]string) error {
	fmt.Println("to stdout")
	fmt.Fprintln(os.Stderr, "to stderr")
	return nil
}

func number(args []string, otherwise int) (int, error) {
	if len(args) == 0 {
		return otherwise, nil
	}
	return strconv.Atoi(args[0])
}
