package conn

import "syscall"

// The system's own numbers: syscall.ECONNREFUSED and its like are not what
// Windows returns.
var (
	refusedErrnos = []syscall.Errno{10061, syscall.ECONNREFUSED}
	resetErrnos   = []syscall.Errno{10054, 10053, 10050, 10051, 10065, syscall.ECONNRESET, syscall.EPIPE}
)
