package server

import (
	"syscall"
	"unsafe"
)

// Events of poll(2), which package syscall does not name.
const (
	pollIn    = 0x1
	pollErr   = 0x8
	pollHup   = 0x10
	pollRdhup = 0x2000
)

// poll asks for the events of one descriptor without waiting. ok is false where
// the system did not say.
func poll(raw syscall.RawConn, want int16) (events int16, ok bool) {
	err := raw.Control(func(fd uintptr) {
		one := [...]struct {
			fd              int32
			events, revents int16
		}{{fd: int32(fd), events: want}}
		var noWait syscall.Timespec
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&one)), uintptr(len(one)),
			uintptr(unsafe.Pointer(&noWait)), 0, 0, 0)
		events, ok = one[0].revents, errno == 0
	})
	return events, ok && err == nil
}

// unread is how many bytes lie in a socket; false where that cannot be told.
func unread(raw syscall.RawConn) (n int64, ok bool) {
	const fionread = 0x541b
	err := raw.Control(func(fd uintptr) {
		var bytes int32
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, fionread, uintptr(unsafe.Pointer(&bytes)))
		n, ok = int64(bytes), errno == 0
	})
	return n, ok && err == nil
}

// peerOf looks whether the peer of a socket has ended its stream, or the
// connection has been reset, whatever is still to be read.
func peerOf(raw syscall.RawConn) (ended, reset bool) {
	events, ok := poll(raw, pollRdhup)
	if !ok {
		return false, false
	}
	return events&(pollRdhup|pollHup) != 0, events&pollErr != 0
}

// waiting reports whether a listener has a connection to accept; known is false
// where that cannot be told.
func waiting(raw syscall.RawConn) (yes, known bool) {
	events, ok := poll(raw, pollIn)
	return events&pollIn != 0, ok
}

// queued is how many connections wait in a TCP listener to be accepted; false where
// that cannot be told. The kernel says so in tcpi_unacked, bytes 24 to 28 of
// TCP_INFO. An ICMPv6Filter is the type of package syscall that has them.
func queued(raw syscall.RawConn) (n int, ok bool) {
	err := raw.Control(func(fd uintptr) {
		if info, err := syscall.GetsockoptICMPv6Filter(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO); err == nil {
			n, ok = int(info.Data[6]), true
		}
	})
	return n, ok && err == nil
}
