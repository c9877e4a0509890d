package ownthread

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestItIsNotTheFirstThread(t *testing.T) {
	t.Parallel()
	for range 500 { // which thread a goroutine gets is a matter of chance
		thread := make(chan int)
		Go(func() { thread <- unix.Gettid() })
		if <-thread == os.Getpid() {
			t.Fatal("it is the first thread of the process")
		}
	}
}
