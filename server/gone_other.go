//go:build !linux

package server

import "syscall"

// unread is how many bytes lie in a socket; false where that cannot be told.
func unread(syscall.RawConn) (int64, bool) { return 0, false }

// peerOf looks whether the peer of a socket has ended its stream. Here only a read
// tells.
func peerOf(syscall.RawConn) (ended, reset bool) { return false, false }

// waiting reports whether a listener has a connection to accept; known is false
// where that cannot be told.
func waiting(syscall.RawConn) (yes, known bool) { return false, false }
