package conn

import (
	"errors"
	"io"
	"syscall"
)

// ReadLoop calls step now, and again each time the socket has become readable,
// until step returns false. It is for a goroutine that serves one connection for
// its whole life. Between two steps it waits without a buffer. It needs fewer system
// calls than a loop of reads, because it never reads only to find out that it must
// wait. ReadLoop returns nil if step returned false. Otherwise it returns why the
// wait has ended: a timeout for a deadline, or an error that wraps net.ErrClosed.
//
// While ReadLoop runs, bytes are read with Step.Fill. All other reads return buffered
// bytes only, and fail with a timeout if they need more. Everything else works as
// usual, with one exception. Close ends the connection at once in both directions,
// but the socket is closed when step has returned. So step may call Close. It must
// not call Close of the connection that NetConn returns: that call would wait for
// step.
//
// ReadLoop works for TCP and unix sockets on Linux, without TLS. Otherwise it
// fails with errors.ErrUnsupported and does not call step.
func (c *Conn) ReadLoop(step func(*Step) bool) error {
	k := c.core
	if !canLoop || !k.canLoop() {
		return errors.ErrUnsupported
	}
	if err := c.beginLoop(k); err != nil {
		return err
	}
	defer k.endLoop()
	s := &Step{c: c}
	wait := func(fd uintptr) bool {
		s.fd = fd
		return !step(s)
	}
	err := k.rawToLoop().Read(wait)
	if err != nil {
		err = k.loopError(err)
	}
	return err
}

// canLoop reports whether reads go past the net.Conn. A connection that sleeps can.
//
//go:noinline
func (k *core) canLoop() bool {
	if k == nil {
		return true // beginLoop has the error
	}
	t := k.tr()
	return t == nil || t.onReadable != nil
}

// rawToLoop is kept out of ReadLoop, whose frame is on the stack of every idle
// connection of a server.
//
//go:noinline
func (k *core) rawToLoop() syscall.RawConn { return k.tr().raw }

// loopError makes the error of a wait that has ended: Close ends it by a deadline.
//
//go:noinline
func (k *core) loopError(err error) error {
	if k.closed() {
		return handleError("read", k)
	}
	return k.error("read", k.rawReadError(err))
}

// beginLoop marks the connection as looping. No read is in progress then.
func (c *Conn) beginLoop(k *core) error {
	if err := c.lockAwake("read", k); err != nil {
		return err
	}
	defer k.rmu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.looping() {
		return k.error("read", ErrBusy)
	}
	if !c.mark(k, markLooping) {
		return handleError("read", k)
	}
	return nil
}

// endLoop closes the socket if Close has been called meanwhile: net's Close waits
// for the callback of a RawConn, so it must not be called within one.
func (k *core) endLoop() {
	k.mu.Lock()
	k.unmark(markLooping)
	closed := k.closed()
	k.mu.Unlock()
	if closed {
		_ = k.tr().nc.Close()
	}
}

func (k *core) looping() bool { return k.state.Load()&markLooping != 0 }

// Step is the access of a step of ReadLoop to its connection. It must be used only
// by that step, on its goroutine.
type Step struct {
	c  *Conn
	fd uintptr
}

// Fill reads once into the buffer of the connection, without waiting. It returns the
// number of bytes, 0 if none have arrived. Peek, Discard and Buffered give access to
// them. Its errors are those of Peek.
//
// drained reports whether all that had arrived has been read. Then step can return,
// and is called again when more arrives. If n is not 0, there is an exception: the
// end of the stream may have arrived together with the bytes, and no call of step
// follows. A step that has no other way to notice that end must call Fill until n
// is 0.
func (s *Step) Fill() (n int, drained bool, err error) {
	k, err := s.c.beginRead()
	if err != nil {
		return 0, false, err
	}
	switch {
	case k.rerr != nil:
		err = k.rerr.public()
	case len(k.unread()) < largeBuffer:
		k.peeked = false
		room := k.room()
		n, err = k.readNow(s.fd, room)
		drained = n < len(room)
		if n > 0 {
			k.buf.w += n
			k.read.Add(uint64(n))
		} else if err != nil {
			err = k.readError(err)
		}
	}
	k.endRead()
	return n, drained, err
}

// readNow reads once without waiting. If nothing is there, n is 0 without an error.
func (k *core) readNow(fd uintptr, p []byte) (int, error) {
	n, errno := sysRead(fd, p)
	switch {
	case errno == syscall.EAGAIN:
		return 0, nil
	case errno != 0:
		k.tr().gotErrno = errno
		return 0, k.rawReadError(nil)
	case n == 0:
		return 0, io.EOF
	}
	k.big = n > smallBuffer || n == len(p)
	return n, nil
}

// Write is Conn.Write. It costs less, because the socket is already held open for
// the step. A write deadline that has passed ends it only if it has to wait for room.
func (s *Step) Write(p []byte) (int, error) {
	k, err := s.c.beginWrite("write")
	if err != nil {
		return 0, err
	}
	n := 0
	if k.werr != nil {
		err = k.writeRefused()
	}
	if err == nil && len(p) > 0 {
		var errno syscall.Errno
		if n, errno = sysWrite(s.fd, p); errno != 0 || n < len(p) {
			n, err = k.writeRest(p, n, errno)
		}
		k.written.Add(uint64(n))
	}
	k.endWrite()
	return n, err
}

// writeRest goes on with a write that has written n bytes without waiting.
//
//go:noinline
func (k *core) writeRest(p []byte, n int, errno syscall.Errno) (int, error) {
	var err error
	if errno != 0 && errno != syscall.EAGAIN {
		err = k.rawWriteError(nil, errno)
	} else {
		var m int
		m, err = k.writeTransport(p[n:])
		n += m
	}
	if err != nil {
		err = k.writeError(int64(n), err)
	}
	return n, err
}

// errNothing is the error of a read that would have to wait, during ReadLoop.
var errNothing error = nothingError{}

type nothingError struct{}

func (nothingError) Error() string   { return "no bytes have arrived" }
func (nothingError) Timeout() bool   { return true }
func (nothingError) Temporary() bool { return true }
