package bench

import (
	"syscall"
	"time"
	"unsafe"
)

// sysEpollPwait2 is the number of epoll_pwait2(2), the same on every platform.
// It takes a timeout in nanoseconds, where epoll_wait rounds to milliseconds:
// an open loop would start everything up to one late. Linux has it since 5.11.
const sysEpollPwait2 = 441

// epollWait waits for events, no longer than timeout.
func epollWait(epoll int, events []syscall.EpollEvent, timeout time.Duration) (int, error) {
	limit := syscall.NsecToTimespec(int64(timeout))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.ENOSYS, syscall.EPERM: // an old kernel, or a container that does not know it
		return syscall.EpollWait(epoll, events, int((timeout+time.Millisecond-1)/time.Millisecond))
	}
	return -1, errno
}

// setTimerSlack sets how late the kernel may wake the calling thread. Failing
// to is not an error: what it costs shows as lag.
func setTimerSlack(slack time.Duration) {
	const prSetTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(slack), 0)
}
