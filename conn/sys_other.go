//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package conn

import "syscall"

const (
	canPeek   = false
	rawReads  = false
	rawWrites = false
)

func sysPeek(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

func sysRead(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

func sysWrite(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }
