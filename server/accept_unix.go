//go:build !windows

package server

import "syscall"

// lasting are the errors of accept that say that the listener is no good.
var lasting = []syscall.Errno{syscall.EBADF, syscall.EFAULT, syscall.EINVAL, syscall.ENOTSOCK}
