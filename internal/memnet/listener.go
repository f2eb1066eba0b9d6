package memnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// backlog is how many connections wait to be accepted before Dial blocks.
const backlog = 128

// Listener is an in-memory net.Listener, and the way to dial it. It is safe
// for concurrent use.
type Listener struct {
	// BufferSize is the room of each direction of each connection; zero or
	// less means DefaultBufferSize. Set it before the first Dial.
	BufferSize int

	addr     Addr
	queue    chan *Conn
	failures chan error
	done     chan struct{}
	close    sync.Once
	refuse   atomic.Bool
	dialed   atomic.Uint64
}

// Listen returns a listener at addr, which is only a name: nothing is
// registered and two listeners may share one.
func Listen(addr string) *Listener {
	return &Listener{
		addr:     Addr(addr),
		queue:    make(chan *Conn, backlog),
		failures: make(chan error, backlog),
		done:     make(chan struct{}),
	}
}

// Accept waits for the next connection. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.opError("accept", nil, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case err := <-l.failures:
		return nil, l.opError("accept", nil, err)
	case <-l.done:
		return nil, l.opError("accept", nil, net.ErrClosed)
	}
}

// Dial connects to the listener under a client address of its own making. It
// returns as soon as the connection is in the backlog, accepted or not; with a
// full backlog it waits until ctx ends.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	return l.DialFrom(ctx, Addr(fmt.Sprintf("%s#%d", l.addr, l.dialed.Add(1))))
}

// DialFrom is Dial under a chosen client address, for instance a *net.TCPAddr
// where the accepting side looks at the IP.
func (l *Listener) DialFrom(ctx context.Context, local net.Addr) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, l.opError("dial", local, err)
	}
	client, server := connect(local, l.addr, l.BufferSize)
	if l.refuse.Load() || l.isClosed() {
		return nil, l.opError("dial", local, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	select {
	case l.queue <- server:
	case <-ctx.Done():
		return nil, l.opError("dial", local, ctx.Err())
	case <-l.done:
		return nil, l.opError("dial", local, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	// Published; a Close that swept the backlog just before did not see it.
	if l.isClosed() {
		l.sweep()
	}
	return client, nil
}

// Refuse makes every Dial fail with ECONNREFUSED, or stops doing so.
func (l *Listener) Refuse(on bool) { l.refuse.Store(on) }

// FailAccept makes one Accept fail with err, as EMFILE does, before or between
// connections. It blocks while 128 failures are waiting to be taken.
func (l *Listener) FailAccept(err error) { l.failures <- err }

// Close wakes Accept and Dial and resets the connections nobody accepted;
// accepted ones stay. A second Close is an error that is net.ErrClosed.
func (l *Listener) Close() error {
	err := l.opError("close", nil, net.ErrClosed)
	l.close.Do(func() {
		close(l.done)
		l.sweep()
		err = nil
	})
	return err
}

// Addr returns the address given to Listen.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) sweep() {
	for {
		select {
		case c := <-l.queue:
			_ = c.Reset() // never handed out, so never closed before
		default:
			return
		}
	}
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *Listener) opError(op string, source net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "mem", Source: source, Addr: l.addr, Err: err}
}
