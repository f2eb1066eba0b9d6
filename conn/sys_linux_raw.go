//go:build linux && !race && !msan && !asan && (amd64 || arm64 || riscv64 || loong64)

package conn

import (
	"syscall"
	"unsafe"
)

// System calls without the scheduler's bookkeeping, which costs as much as a
// short call itself. The scheduler cannot take the processor back meanwhile, so
// they must not block and not last: each says that it does not wait, whatever
// the mode of the socket, and moves at most maxRaw bytes. The race detector and
// its like do not see what they read and write, so under those, and on other
// systems, the calls of package syscall are used.

const (
	canPeek   = true // sysPeek works
	rawReads  = true // sysRead works
	rawWrites = true // sysWrite is faster than package net's Write
	maxRaw    = 64 << 10
)

// sysRead reads once, up to 64 KiB. The error is syscall.EAGAIN where nothing is
// there.
func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	return rawCall(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
}

// sysWrite writes once, up to 64 KiB.
func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	return rawCall(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

// sysPeek looks for bytes without reading them: n is zero at the end of the
// stream, the error syscall.EAGAIN where nothing is there.
func sysPeek(fd uintptr, p []byte) (int, syscall.Errno) {
	return rawCall(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

func rawCall(trap, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(min(len(p), maxRaw)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
