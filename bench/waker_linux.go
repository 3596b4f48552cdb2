package bench

import (
	"fmt"
	"sync"
	"syscall"
)

// waker ends a wait in epoll from another goroutine, by a byte in a pipe.
type waker struct {
	reader int

	mu     sync.Mutex
	writer int // -1 after close
}

func newWaker() (*waker, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return &waker{reader: ends[0], writer: ends[1]}, nil
}

// wake makes the reader readable. It may be called from any goroutine, also
// after close. A full pipe is readable already, so its error means nothing.
func (w *waker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writer >= 0 {
		_, _ = syscall.Write(w.writer, []byte{1})
	}
}

// clear empties the pipe.
func (w *waker) clear() {
	var buf [64]byte
	for {
		if n, err := syscall.Read(w.reader, buf[:]); n <= 0 && err != syscall.EINTR {
			return
		}
	}
}

func (w *waker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	syscall.Close(w.reader)
	syscall.Close(w.writer)
	w.writer = -1
}
