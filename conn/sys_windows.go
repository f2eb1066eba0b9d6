package conn

import (
	"syscall"
	"unsafe"
)

const (
	canPeek   = true
	rawReads  = false // reads and writes go through the runtime's completion port
	rawWrites = false
)

var (
	winsock     = syscall.NewLazyDLL("ws2_32.dll")
	procWSAPoll = winsock.NewProc("WSAPoll")
	procRecv    = winsock.NewProc("recv")
)

// pollFD is WSAPOLLFD.
type pollFD struct {
	socket          uintptr
	events, revents int16
}

const (
	pollRDNorm = 0x0100 // POLLRDNORM
	msgPeek    = 2      // MSG_PEEK
)

// sysPeek looks for bytes without reading them, and without waiting: n is zero
// at the end of the stream, the error syscall.EAGAIN where nothing is there.
// The socket may block, so it is polled first: only this reader takes bytes, so
// what the poll has seen is still there for recv.
func sysPeek(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	poll := pollFD{socket: fd, events: pollRDNorm}
	r, _, e := procWSAPoll.Call(uintptr(unsafe.Pointer(&poll)), 1, 0)
	switch int32(r) {
	case -1:
		return 0, asErrno(e)
	case 0:
		return 0, syscall.EAGAIN
	}
	r, _, e = procRecv.Call(fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), msgPeek)
	if int32(r) < 0 {
		return 0, asErrno(e)
	}
	return int(int32(r)), 0
}

// asErrno is never zero: that would mean success.
func asErrno(err error) syscall.Errno {
	if errno, ok := err.(syscall.Errno); ok && errno != 0 {
		return errno
	}
	return syscall.EINVAL
}

func sysRead(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOTSUP }

func sysWrite(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOTSUP }
