//go:build linux && race

package eventloop

import "syscall"

// The race detector takes what one side has written and the other has read for an
// order of events. It sees only the calls of package syscall.

func read(fd int, p []byte) (int, syscall.Errno) { return transferred(syscall.Read(fd, p)) }

func write(fd int, p []byte) (int, syscall.Errno) { return transferred(syscall.Write(fd, p)) }

func transferred(n int, err error) (int, syscall.Errno) {
	if err != nil {
		return 0, err.(syscall.Errno)
	}
	return n, 0
}
