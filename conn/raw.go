package conn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// maxWrappers is more than any sane stack of connections has.
const maxWrappers = 8

// openRaw finds the descriptor of the transport, or of a connection that it wraps.
func (k *core) openRaw(t *transport) {
	nc := t.nc
	for range maxWrappers {
		if t.raw = rawConn(nc); t.raw != nil {
			break
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		nc = inner.NetConn()
	}
	if !isSocket(t.nc) {
		k.opaque = true
	} else if rawReads {
		t.onReadable = k.readCallback()
	}
}

// isSocket reports whether to read nc is the same as to read its descriptor. A
// type that embeds one of these has its SyscallConn too, but may have a Read of
// its own.
func isSocket(nc net.Conn) bool {
	switch nc := nc.(type) {
	case *net.TCPConn:
		return true
	case *net.UnixConn:
		addr := nc.LocalAddr()
		return addr != nil && addr.Network() == "unix"
	}
	return false
}

func rawConn(nc net.Conn) syscall.RawConn {
	if !canPeek {
		return nil
	}
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

// fillRaw waits for bytes and reads once into the buffer. The RawConn calls
// onReadable at once, and again when the socket has become readable. onReadable
// releases the buffer before the wait, so after a wait there is none. fillRaw
// then acquires one here, where the stack is less deep, and starts again.
func (k *core) fillRaw() (int, error) {
	t := k.tr()
	for {
		k.room()
		t.got, t.gotErrno = -1, 0
		err := t.raw.Read(t.onReadable)
		switch n := t.got; {
		case n > 0:
			return n, nil
		case err != nil || n == 0 || t.gotErrno != 0:
			return 0, k.rawReadError(err)
		}
	}
}

// rawReadError makes the error that a plain read would have returned.
//
//go:noinline
func (k *core) rawReadError(err error) error {
	switch op, ok := err.(*net.OpError); {
	case ok:
		err = op.Err
	case err != nil:
	case k.tr().gotErrno != 0:
		err = os.NewSyscallError("read", k.tr().gotErrno)
	default:
		return io.EOF
	}
	return k.opError("read", err)
}

// opError makes the error that package net would make.
func (k *core) opError(op string, err error) error {
	network := "unix"
	if _, ok := k.tr().nc.(*net.TCPConn); ok {
		network = "tcp"
	}
	// The remote address can be nil: net.FileConn of a socket that was reset.
	return &net.OpError{Op: op, Net: network, Source: k.addresses().LocalAddr(), Addr: k.peerAddr(), Err: err}
}

// readCallback makes onReadable: one attempt to read, on the goroutine of the
// reader, which holds rmu. If it returns false, the RawConn waits until the
// socket is readable, and the connection has no buffer meanwhile.
func (k *core) readCallback() func(fd uintptr) bool {
	return func(fd uintptr) bool {
		if k.buf == nil {
			return true // the wait is over
		}
		b, t := k.buf, k.tr()
		n, errno := sysRead(fd, b.data[b.w:])
		switch errno {
		case 0:
			t.got = n
			k.big = n > smallBuffer || n == len(b.data)-b.w
			return true
		case syscall.EAGAIN:
			// With bytes in it the buffer stays, and the next call reads.
			k.releaseBuffer()
			return false
		}
		t.gotErrno = errno
		return true
	}
}

// rawWriters holds as many as there are writes at the same time, so that an idle
// connection has none.
var rawWriters = sync.Pool{New: func() any { return newRawWriter() }}

// rawWriter writes to the socket of a connection.
type rawWriter struct {
	out   []byte // what is left to write
	errno syscall.Errno
	write func(fd uintptr) bool
}

// writeTransport writes p once to nc: all of it, unless there is an error.
func (k *core) writeTransport(p []byte) (int, error) {
	t := k.tr()
	if !rawWrites || t.onReadable == nil {
		return t.nc.Write(p)
	}
	w := rawWriters.Get().(*rawWriter)
	w.out, w.errno = p, 0
	err := t.raw.Write(w.write)
	n, errno := len(p)-len(w.out), w.errno
	w.out = nil
	rawWriters.Put(w)
	if err != nil || errno != 0 {
		return n, k.rawWriteError(err, errno)
	}
	return n, nil
}

// newRawWriter returns a rawWriter with its callback: attempts to write until
// all is written. False makes the RawConn wait for room.
func newRawWriter() *rawWriter {
	w := new(rawWriter)
	w.write = func(fd uintptr) bool {
		for len(w.out) > 0 {
			n, errno := sysWrite(fd, w.out)
			if errno == syscall.EAGAIN {
				return false
			}
			if errno != 0 {
				w.errno = errno
				return true
			}
			w.out = w.out[n:]
		}
		return true
	}
	return w
}

// rawWriteError makes the error that a plain write would have returned.
//
//go:noinline
func (k *core) rawWriteError(err error, errno syscall.Errno) error {
	if op, ok := err.(*net.OpError); ok {
		err = op.Err
	} else if err == nil {
		err = os.NewSyscallError("write", errno)
	}
	return k.opError("write", err)
}

// checker is the state of the callbacks of Check and Ask, so that only the first
// call on a connection allocates. rmu guards it.
type checker struct {
	peek  func(fd uintptr)
	n     int
	errno syscall.Errno
	buf   [1]byte
	lost  error // the socket's error; the next read returns it in place of io.EOF

	ask    func(fd uintptr) bool
	out    []byte // what Ask has not written yet; wmu is held while there is some
	outErr error  // why writing it failed
}

// makeChecker returns the checker, and makes it if there is none.
func (t *transport) makeChecker() *checker {
	if t.checker == nil {
		ck := &checker{}
		ck.peek = ck.run
		t.checker = ck
	}
	return t.checker
}

func (ck *checker) run(fd uintptr) {
	ck.n, ck.errno = sysPeek(fd, ck.buf[:])
}

// checkSocket looks for a first byte in the socket. It uses RawConn.Control,
// which works after a deadline has passed, unlike RawConn.Read.
func (k *core) checkSocket() (readable bool, err error) {
	t := k.tr()
	ck := t.makeChecker()
	if err := t.raw.Control(ck.peek); err != nil {
		return false, err
	}
	return k.checked()
}

// checked returns what the checker has found.
func (k *core) checked() (readable bool, err error) {
	t := k.tr()
	ck := t.checker
	if ck.errno != 0 && ck.errno != syscall.EAGAIN {
		// The socket reports its error once; a read after this finds a clean
		// end of the stream.
		t.gotErrno = ck.errno
		ck.lost = k.rawReadError(nil)
	}
	switch {
	case ck.lost != nil:
		return false, ck.lost
	case ck.errno == syscall.EAGAIN:
		return false, nil
	case ck.n == 0:
		return false, ErrPeerClosed
	}
	return true, nil
}
