package eventloop

import (
	"syscall"
	"unsafe"
)

// The calls below never wait, so the runtime need not be told of them, as it is of
// those of package syscall.

// epollWait returns how many events there are, at most as many as have room.
func epollWait(epoll int, events []syscall.EpollEvent) int {
	n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT,
		uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	return count(n, err)
}

func count(n uintptr, err syscall.Errno) int {
	if err != 0 {
		return 0
	}
	return int(n)
}
