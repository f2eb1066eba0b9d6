//go:build !linux

package server

import "syscall"

// peerOf looks whether the peer of a socket has ended its stream. Here only a read
// tells.
func peerOf(syscall.RawConn) (ended, reset bool) { return false, false }

// queued is how many connections wait in a listener to be accepted. Here the system
// does not tell.
func queued(syscall.RawConn) (n int, ok bool) { return 0, false }
