package server

import (
	"syscall"
	"unsafe"
)

var (
	winsock         = syscall.NewLazyDLL("ws2_32.dll")
	procIoctlsocket = winsock.NewProc("ioctlsocket")
	procWSAPoll     = winsock.NewProc("WSAPoll")
)

// unread is how many bytes lie in a socket; false where that cannot be told.
func unread(raw syscall.RawConn) (n int64, ok bool) {
	const fionread = 0x4004667f
	err := raw.Control(func(fd uintptr) {
		var bytes uint32
		r, _, _ := procIoctlsocket.Call(fd, fionread, uintptr(unsafe.Pointer(&bytes)))
		n, ok = int64(bytes), r == 0
	})
	return n, ok && err == nil
}

// waiting reports whether a listener has a connection to accept; known is false
// where that cannot be told.
func waiting(raw syscall.RawConn) (yes, known bool) {
	const readable = 0x0100 // POLLRDNORM
	err := raw.Control(func(fd uintptr) {
		p := struct {
			socket          uintptr
			events, revents int16
		}{socket: fd, events: readable}
		r, _, _ := procWSAPoll.Call(uintptr(unsafe.Pointer(&p)), 1, 0)
		yes, known = p.revents&readable != 0, int32(r) >= 0
	})
	return yes, known && err == nil
}
