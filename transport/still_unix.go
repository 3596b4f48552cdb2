//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// still reports whether nothing has come in on c, which nobody uses: neither its
// end, because the other side has closed it, nor anything else. A request sent on
// a connection that the other side has closed is lost, and nobody could say whether
// it was executed. Descriptors do not block, so this is one system call.
// With TLS it finds the record that announces the end.
func still(c net.Conn) bool {
	sys, ok := beneath(c).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	var got error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, got = syscall.Read(int(fd), one[:])
		return true
	})
	return err == nil && errors.Is(got, syscall.EAGAIN)
}
