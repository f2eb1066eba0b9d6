package conn

import (
	"os"
	"runtime"
	"syscall"
)

// Ask writes the request p and waits for the first byte of the reply. That byte
// stays buffered. Use it for the first request on a connection that was idle. It
// does the work of Reusable, Check, Write and Peek(1). Ask checks for unexpected
// bytes before it writes the request; on a Unix socket that costs no extra system
// call.
//
// If the connection is not fit for a request, Ask writes nothing and fails with
// an *Error that is safe to retry on another connection. The cause is that of
// Reusable or Check, such as ErrPeerClosed or ErrUnread. It is ErrBusy if
// another read or write is in progress, or if the kernel's send buffer is full.
// After ErrUnread every later read and write fails with that error too, so that
// no caller reads those bytes as a reply.
//
// Other errors are those of Write, or, if n is len(p), of Read. If a timeout
// stopped the write of the request (0 < n < len(p)), the rest cannot be written,
// and every later write fails.
//
// If the caller has set a deadline, Ask fails with ErrDeadlineSet. Use Do to
// bound an Ask.
func (c *Conn) Ask(p []byte) (n int, err error) {
	k, err := c.beginAsk()
	if err != nil {
		return 0, err
	}
	rest := true
	if k.tr().onReadable != nil && len(p) > 0 {
		n, rest, err = k.askSocket(p)
	} else if err = c.check(k); err != nil {
		err = k.askFound(true, err)
	}
	k.endRead()
	if rest {
		// Without rmu: the peer may wait until somebody reads from it.
		if err == nil {
			n, err = c.writeRest(k, p, n)
		}
		k.endWrite()
		if err == nil {
			_, err = c.Peek(1)
		}
	}
	return n, err
}

// beginAsk acquires both I/O locks, if the connection is fit for a request.
func (c *Conn) beginAsk() (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		if err := c.rouse("ask", k); err != nil {
			return nil, err
		}
	}
	if !k.rmu.TryLock() && !k.lockIdle() {
		return nil, k.askRefused(ErrBusy)
	}
	if k.state.Load()&markAsleep != 0 { // again
		k.rmu.Unlock()
		return c.beginAsk()
	}
	// If the lock is held without a write in progress, it is about to be
	// released, as in lockIdle.
	for !k.wmu.TryLock() {
		if k.state.Load()&markWriting != 0 {
			k.rmu.Unlock()
			return nil, k.askRefused(ErrBusy)
		}
		runtime.Gosched()
	}
	fit := k.empty() && c.mark(k, markWriting)
	if fit && k.state.Load()&^(markDoing|markWriting) == c.gen {
		return k, nil
	}
	if fit {
		k.unmark(markWriting)
	}
	err := c.unfitness(k, markDoing)
	k.wmu.Unlock()
	k.rmu.Unlock()
	if err == nil { // the reason is gone meanwhile
		err = ErrBusy
	}
	return nil, k.askRefused(err)
}

// writeRest writes what is left of p after its first n bytes. The caller holds
// wmu.
func (c *Conn) writeRest(k *core, p []byte, n int) (int, error) {
	if k.opaque {
		if err := k.writeRefused(); err != nil {
			return n, err
		}
	}
	if n == len(p) {
		return n, nil
	}
	m, err := k.tr().nc.Write(p[n:])
	k.written.Add(uint64(m))
	n += m
	if err != nil {
		err = k.writeError(int64(n), err)
		if e, ok := err.(*Error); ok && n > 0 && k.werr == nil {
			k.werr = e // only this caller knows that the rest is missing
			k.failed(e, true)
		}
	}
	return n, err
}

// askRefused makes the error of an Ask that has written nothing.
//
//go:noinline
func (k *core) askRefused(err error) error {
	return &Error{Op: "ask", Addr: k.peerAddr(), Err: err, safe: true}
}

// askFound makes the error of an Ask that has found something before it wrote.
// Bytes that nobody has asked for break the connection. The caller holds rmu and
// wmu.
//
//go:noinline
func (k *core) askFound(readable bool, err error) error {
	if err == nil && readable {
		err = ErrUnread
	}
	e := &Error{Op: "ask", Addr: k.peerAddr(), Err: err, safe: true}
	if err == ErrUnread {
		k.consume(len(k.unread()))
		k.rerr, k.werr = e, e
		k.failed(e, true)
	}
	return e
}

// maxWrite is how many bytes are written at a time at most: some systems refuse
// 2 GiB, and package net has the same bound.
const maxWrite = 1 << 30

// askSocket does the work of Ask on a socket, except for what it could not write
// at once. The caller holds rmu and wmu; askSocket releases wmu if it has written
// all of p.
//
// It is one RawConn.Read whose first attempt writes. The order matters, since
// the runtime's poller reports only changes. RawConn.Read first forgets earlier
// reports. Then the attempt makes sure that nothing is there, and only then it
// writes. So everything that comes later is reported, and the first attempt to
// read, which would find nothing, is not needed.
func (k *core) askSocket(p []byte) (n int, rest bool, err error) {
	t := k.tr()
	ck := t.makeChecker()
	if ck.ask == nil {
		ck.ask = k.askCallback(ck)
	}
	k.peeked = false
	t.got, t.gotErrno = -1, 0
	ck.errno, ck.out, ck.outErr = syscall.EAGAIN, p, nil
	k.rbusy.Store(true)
	err = t.raw.Read(ck.ask)
	k.rbusy.Store(false)
	left := len(ck.out)
	n, ck.out = len(p)-left, nil
	switch {
	case left == 0:
		if t.got > 0 {
			k.buf.w += t.got
			return n, false, k.received(t.got, nil)
		}
		return n, false, k.readError(k.rawReadError(err))
	case err != nil: // it was not even tried
		return 0, true, k.askRefused(k.interrupted(k.rawReadError(err)))
	case ck.errno != syscall.EAGAIN:
		return 0, true, k.askFound(k.checked())
	case ck.outErr != nil:
		return n, true, k.writeError(int64(n), ck.outErr)
	case n == 0: // to wait for room here could take long, and others wait for this
		return 0, true, k.askRefused(ErrBusy)
	}
	return n, true, nil
}

// askCallback makes checker.ask. The first call looks and writes; the others
// attempt to read.
func (k *core) askCallback(ck *checker) func(fd uintptr) bool {
	return func(fd uintptr) bool {
		if len(ck.out) == 0 {
			k.room()
			return k.tr().onReadable(fd)
		}
		if ck.run(fd); ck.errno != syscall.EAGAIN {
			return true
		}
		out := ck.out[:min(len(ck.out), maxWrite)]
		n, errno := sysWrite(fd, out)
		k.written.Add(uint64(n))
		ck.out = ck.out[n:]
		switch {
		case len(ck.out) == 0:
			k.endWrite()
			return false
		case errno != 0 && errno != syscall.EAGAIN:
			ck.outErr = k.opError("write", os.NewSyscallError("write", errno))
		}
		return true
	}
}
