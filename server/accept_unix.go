//go:build !windows

package server

import "syscall"

// systemPassing is what this system has beyond the common errors of accept.
var systemPassing []syscall.Errno
