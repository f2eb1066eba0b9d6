//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package conn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// openRaw finds what can be had of nc's descriptor.
func (k *core) openRaw() {
	switch nc := k.nc.(type) {
	// Only these types themselves are read through the descriptor: a type
	// that embeds one of them has the method too, but its own way to read.
	case *net.TCPConn:
		k.raw = rawConn(nc)
	case *net.UnixConn:
		if addr := nc.LocalAddr(); addr != nil && addr.Network() == "unix" {
			k.raw = rawConn(nc)
		}
	}
	if k.raw != nil {
		k.probe = k.raw
		k.onReadable = k.readReady
		return
	}
	nc := k.nc
	for range 8 { // deeper than any sane stack of wrappers
		if k.probe = rawConn(nc); k.probe != nil {
			k.opaque = true
			return
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		nc = inner.NetConn()
	}
}

func rawConn(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readReady is the RawConn's callback: one attempt to read. It runs on the
// reader's goroutine, which holds rmu. False makes the RawConn wait for
// readability and call again, and until then the buffer belongs to others.
func (k *core) readReady(fd uintptr) bool {
	p := k.into
	if p == nil {
		p = k.room()
	}
	n, err := syscall.Read(int(fd), p)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), p)
	}
	switch {
	case err == syscall.EAGAIN:
		k.releaseBuffer()
		return false
	case err != nil:
		k.gotErr = os.NewSyscallError("read", err)
	case n == 0:
		k.gotErr = io.EOF
	default:
		k.got = n
		if k.into == nil {
			k.big = n > smallBuffer || n == len(p)
		}
	}
	return true
}

// checker holds what the MSG_PEEK callback works with, so that a Check
// allocates nothing. It is guarded by rmu.
type checker struct {
	peek  func(fd uintptr)
	n     int
	errno error
	buf   [1]byte
}

func (ck *checker) run(fd uintptr) {
	for {
		ck.n, _, ck.errno = syscall.Recvfrom(int(fd), ck.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if ck.errno != syscall.EINTR {
			return
		}
	}
}

// checkSocket looks at the first byte in the socket. RawConn.Control is used
// because, unlike Read, it works after a deadline has passed.
func (k *core) checkSocket() error {
	ck := k.checker
	if ck == nil {
		ck = &checker{}
		ck.peek = ck.run
		k.checker = ck
	}
	if err := k.probe.Control(ck.peek); err != nil {
		return err
	}
	switch {
	case ck.errno == syscall.EAGAIN:
		return nil
	case ck.errno != nil:
		return os.NewSyscallError("recvfrom", ck.errno)
	case ck.n == 0:
		return ErrPeerClosed
	case k.opaque:
		return nil
	}
	return ErrUnread
}
