//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package server

import "syscall"

// unread is how many bytes lie in a socket; false where that cannot be told. The
// ioctl that tells needs a number of its own on each system, so the bytes are looked
// at: more than the look takes cannot be told.
func unread(raw syscall.RawConn) (n int64, ok bool) {
	err := raw.Control(func(fd uintptr) {
		look := make([]byte, 64<<10)
		seen, _, err := syscall.Recvfrom(int(fd), look, syscall.MSG_PEEK) // the socket does not block
		switch {
		case err == syscall.EAGAIN:
			ok = true
		case err == nil && seen < len(look):
			n, ok = int64(seen), true
		}
	})
	return n, ok && err == nil
}

// waiting reports whether a listener has a connection to accept; known is false
// where that cannot be told.
func waiting(syscall.RawConn) (yes, known bool) { return false, false }
