//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package server

import "syscall"

// unread is how many bytes lie in a socket; false where that cannot be told.
func unread(syscall.RawConn) (int64, bool) { return 0, false }

// waiting reports whether a listener has a connection to accept; known is false
// where that cannot be told.
func waiting(syscall.RawConn) (yes, known bool) { return false, false }
