package conn

import (
	"os"
	"runtime"
	"syscall"
)

// Ask writes p, a request, and waits for the first byte of the answer, which it
// leaves buffered. It is for the first request on a connection that has been
// idle: it is Reusable, Check, Write and Peek(1) in one, and on a Unix socket
// it takes no more than a write and a read do. Where a read looks for an answer
// that cannot have come yet, Ask looks before it writes, for what must not be
// there.
//
// If the connection is not fit for a request, Ask has written nothing and fails
// with an *Error that is safe to retry, on another connection, and that is what
// Reusable or Check would say: ErrPeerClosed, ErrUnread, ErrBusy if there is any
// other read or write in progress, or if the kernel takes nothing at the moment.
// Where it finds bytes that nobody has asked for, every later read and write
// fails with that error too, so that nobody takes them for an answer.
//
// Other errors are those of Write, or, if n is len(p), of Read. A request that a
// timeout has cut short, n above zero and below len(p), cannot be resumed: every
// later write fails.
//
// A deadline set by the caller makes the connection unfit (ErrDeadlineSet); Do
// is the way to bound an Ask.
func (c *Conn) Ask(p []byte) (n int, err error) {
	k, err := c.beginAsk()
	if err != nil {
		return 0, err
	}
	rest := true
	if k.onReadable != nil && len(p) > 0 {
		n, rest, err = k.askSocket(p)
	} else if err = c.check(k); err != nil {
		err = k.askFound(true, err)
	}
	k.endRead()
	if rest {
		// Without rmu, for the peer may have to be read from to go on.
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

// beginAsk takes both I/O locks, if the connection is fit for a request.
func (c *Conn) beginAsk() (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		return nil, handleError("ask", k)
	}
	if !k.rmu.TryLock() && !k.lockIdle() {
		return nil, k.askRefused(ErrBusy)
	}
	// A lock that is held without a writer at work is about to be released, as
	// in lockIdle.
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
	if err == nil { // it was, a moment ago
		err = ErrBusy
	}
	return nil, k.askRefused(err)
}

// writeRest writes what is left of p behind its first n bytes. The caller holds
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
	m, err := k.nc.Write(p[n:])
	k.written.Add(uint64(m))
	n += m
	if err != nil {
		err = k.writeError(int64(n), err)
		if e, ok := err.(*Error); ok && n > 0 && k.werr == nil {
			k.werr = e // only the caller could resume it, and he is told
			k.failed(e, true)
		}
	}
	return n, err
}

// askRefused is the error of an Ask that has written nothing.
//
//go:noinline
func (k *core) askRefused(err error) error {
	return &Error{Op: "ask", Addr: k.peerAddr(), Err: err, safe: true}
}

// askFound makes the error of an Ask whose look has found something. Bytes that
// nobody has asked for break the connection. The caller holds rmu and wmu.
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

// maxWrite is the most that is written at a time, in bytes: some systems take no
// 2 GiB, as package net knows too.
const maxWrite = 1 << 30

// askSocket does the work of Ask on a socket, up to what it could not write at
// once. The caller holds rmu and wmu, and askSocket releases wmu if it has
// written all of p.
//
// It is one read of the RawConn, of which the first attempt writes. The order
// matters, for the runtime hears only of changes: RawConn.Read forgets what
// was heard before, then the attempt makes sure that nothing is there, and
// only then it writes; so whatever comes after is heard of, and the attempt to
// read that would find nothing yet need not be made.
func (k *core) askSocket(p []byte) (n int, rest bool, err error) {
	ck := k.makeChecker()
	if ck.ask == nil {
		ck.ask = k.askCallback(ck)
	}
	k.peeked = false
	k.got, k.gotErrno = -1, 0
	ck.errno, ck.out, ck.outErr = syscall.EAGAIN, p, nil
	k.rbusy.Store(true)
	err = k.raw.Read(ck.ask)
	k.rbusy.Store(false)
	left := len(ck.out)
	n, ck.out = len(p)-left, nil
	switch {
	case left == 0:
		if k.got > 0 {
			k.buf.w += k.got
			return n, false, k.received(k.got, nil)
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

// askCallback makes checker.ask: first the look and the write, and then the
// attempts to read.
func (k *core) askCallback(ck *checker) func(fd uintptr) bool {
	return func(fd uintptr) bool {
		if len(ck.out) == 0 {
			k.room()
			return k.onReadable(fd)
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
