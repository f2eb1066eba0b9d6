//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package conn

import (
	"os"
	"syscall"
)

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
		k.read.Add(uint64(max(ck.n, 0)))
		return 0, true, k.askFound(k.checked())
	case ck.outErr != nil:
		return n, true, k.writeError(int64(n), ck.outErr)
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
		if ck.look(fd); ck.errno != syscall.EAGAIN {
			return true
		}
		n, err := syscall.Write(int(fd), ck.out)
		for err == syscall.EINTR {
			n, err = syscall.Write(int(fd), ck.out)
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

// look is run for Ask: a read is quicker than a peek, and the byte that it may
// bring is one that nobody will get.
func (ck *checker) look(fd uintptr) {
	for {
		n, err := syscall.Read(int(fd), ck.buf[:])
		ck.n = n
		ck.errno, _ = err.(syscall.Errno) // it is nothing else
		if ck.errno != syscall.EINTR {
			return
		}
	}
}
