//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package conn

import (
	"os"
	"syscall"
)

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
		n, err := syscall.Write(int(fd), out)
		for err == syscall.EINTR {
			n, err = syscall.Write(int(fd), out)
		}
		if n > 0 {
			k.written.Add(uint64(n))
			ck.out = ck.out[n:]
		}
		switch {
		case len(ck.out) == 0:
			k.endWrite()
			return false
		case err != nil && err != syscall.EAGAIN:
			ck.outErr = k.opError("write", os.NewSyscallError("write", err))
		}
		return true
	}
}
