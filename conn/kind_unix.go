//go:build !windows

package conn

import "syscall"

var (
	refusedErrnos = []syscall.Errno{syscall.ECONNREFUSED}
	resetErrnos   = []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH}
)
