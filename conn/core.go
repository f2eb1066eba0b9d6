package conn

import (
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// core is the connection itself; Conns are handles on it.
//
// Three locks, taken in this order: rmu, wmu, mu. rmu and wmu are the I/O
// locks: they are held across a read or a write, that is their purpose. mu is
// never held across either. Close takes mu alone, so it can interrupt both.
type core struct {
	nc     net.Conn
	raw    syscall.RawConn // of nc, where bytes can be read through it; else nil
	probe  syscall.RawConn // of nc or of what it wraps, for Check; else nil
	opaque bool            // nc transforms bytes (TLS): counts and readiness below it are not those above

	gen    atomic.Uint64 // the live handle's; written with rmu, wmu and mu held, read under any of them
	closed atomic.Bool   // written with mu held

	rmu        sync.Mutex   // one reader at a time; guards the fields below
	rbusy      atomic.Bool  // a reader is at the transport; written with rmu held
	avail      atomic.Int32 // w-r as of the last unlock of rmu, for Buffered
	big        bool         // the next buffer borrowed is a large one
	peeked     bool         // a slice from Peek may be in use
	buf        []byte       // nil while no bytes are in it
	r, w       int          // buf[r:w] has been received and not been read
	rerr       error        // permanent read error, io.EOF included
	into       []byte       // where onReadable reads to; nil: into buf
	got        int          // what onReadable brought
	gotErr     error
	onReadable func(fd uintptr) bool
	checker    *checker // made by the first Check

	wmu   sync.Mutex  // one writer at a time; guards the fields below
	wbusy atomic.Bool // a write is in progress; written with wmu held
	werr  error       // permanent write error

	read    atomic.Uint64
	written atomic.Uint64

	mu      sync.Mutex // guards the fields below
	err     error      // first fatal error
	unfit   bool       // an operation failed or timed out
	mid     bool       // a message is half read or half written
	rd, wd  time.Time  // the deadlines the caller has set
	waiting time.Time  // an internal read deadline (ReadAvailable, Check)
	do      *doState   // made by the first Do
	onClose func()
}

// handleError is what an operation through a handle that has ended gets.
func handleError(op string, k *core) error {
	e := &Error{Op: op, Err: net.ErrClosed, safe: op == "write" || op == "do"}
	if k != nil {
		e.Addr = k.nc.RemoteAddr()
	}
	return e
}

func (k *core) error(op string, err error) error {
	return &Error{Op: op, Addr: k.nc.RemoteAddr(), Err: err}
}

// live reports whether c is the handle of an open connection. The answer can
// only be relied on under one of the locks.
func (c *Conn) live(k *core) bool { return k.gen.Load() == c.gen && !k.closed.Load() }

// beginRead takes the read lock. A handle that has ended does not touch even
// that.
func (c *Conn) beginRead() (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		return nil, handleError("read", k)
	}
	k.rmu.Lock()
	if !c.live(k) {
		k.rmu.Unlock()
		return nil, handleError("read", k)
	}
	return k, nil
}

func (k *core) endRead() {
	if k.closed.Load() {
		k.r, k.w = 0, 0
	}
	if k.r == k.w && !k.peeked {
		k.releaseBuffer()
	}
	k.avail.Store(int32(k.w - k.r))
	k.rmu.Unlock()
}

// beginWrite takes the write lock.
func (c *Conn) beginWrite(op string) (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		return nil, handleError(op, k)
	}
	k.wmu.Lock()
	if !c.live(k) {
		k.wmu.Unlock()
		return nil, handleError(op, k)
	}
	k.wbusy.Store(true)
	return k, nil
}

func (k *core) endWrite() {
	k.wbusy.Store(false)
	k.wmu.Unlock()
}

// lockIdle takes an I/O lock unless an operation is at the transport. A lock
// that is held without one is about to be released: it is a quick operation
// on the buffer, or a handle that finds that it has ended.
func lockIdle(mu *sync.Mutex, busy *atomic.Bool) bool {
	for !mu.TryLock() {
		if busy.Load() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// receive reads once from the transport, waiting for bytes: into p, or into
// the buffer where p is nil. The caller holds rmu. The error is as the
// transport gave it, or io.EOF.
func (k *core) receive(p []byte) (int, error) {
	if k.rerr != nil {
		return 0, k.rerr
	}
	k.peeked = false
	k.rbusy.Store(true)
	var n int
	var err error
	if k.raw != nil {
		k.into = p
		err = k.raw.Read(k.onReadable)
		k.into = nil
		n = k.got
		if err == nil {
			err = k.gotErr
		}
		k.got, k.gotErr = 0, nil
	} else {
		dst := p
		if dst == nil {
			dst = k.room()
		}
		n, err = k.nc.Read(dst)
		// A reader parked here holds its buffer, so a large one is worth
		// having only while reads fill what they are given.
		k.big = p == nil && n == len(dst)
	}
	k.rbusy.Store(false)
	if n > 0 {
		k.read.Add(uint64(n))
		if p == nil {
			k.w += n
		}
		if err != nil && !isTimeout(err) {
			k.rerr = k.readError(err) // for the next call; this one has bytes
		}
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

// readError makes the public error of a failed read and keeps what is
// permanent.
func (k *core) readError(err error) error {
	if err == k.rerr {
		return err
	}
	timeout := false
	if err != io.EOF {
		err = &Error{Op: "read", Addr: k.nc.RemoteAddr(), Err: k.tidy(err)}
		timeout = isTimeout(err)
	}
	if !timeout {
		k.rerr = err
	}
	k.failed(err, !timeout)
	return err
}

// tidy turns the error of a read through the RawConn into that of a plain one.
func (k *core) tidy(err error) error {
	if op, ok := err.(*net.OpError); ok && op.Op == "raw-read" {
		return &net.OpError{Op: "read", Net: op.Net, Source: k.nc.LocalAddr(), Addr: k.nc.RemoteAddr(), Err: op.Err}
	}
	return err
}

// failed notes that an operation failed; fatal says that the connection is
// lost with it.
func (k *core) failed(err error, fatal bool) {
	k.mu.Lock()
	k.unfit = true
	if fatal && k.err == nil {
		k.err = err
	}
	k.mu.Unlock()
}
