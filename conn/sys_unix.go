//go:build darwin || dragonfly || freebsd || netbsd || openbsd || (linux && (race || msan || asan || !(amd64 || arm64 || riscv64 || loong64)))

package conn

import "syscall"

const (
	canPeek   = true  // sysPeek works
	rawReads  = true  // sysRead works
	rawWrites = false // sysWrite is no faster than package net's Write
)

// sysRead reads once from a socket that does not block. The error is
// syscall.EAGAIN where nothing is there.
func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			errno, _ := err.(syscall.Errno) // it is nothing else
			return 0, errno
		}
	}
}

// sysWrite writes once.
func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			errno, _ := err.(syscall.Errno)
			return 0, errno
		}
	}
}

// sysPeek looks for bytes without reading them, and without waiting: n is zero
// at the end of the stream, the error syscall.EAGAIN where nothing is there.
func sysPeek(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			errno, _ := err.(syscall.Errno)
			return 0, errno
		}
	}
}
