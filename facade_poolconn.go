package gtcp

import (
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// PoolConn is a Conn from the pool of its address. Close releases it. It is
// valid for one checkout. After Close each of its methods fails with an error
// that is net.ErrClosed and has no effect on any connection.
//
// A connection that was idle may have been closed by its peer. If the first
// write fails before any byte was sent, PoolConn changes to a new connection
// and writes there. If the first operation is a read, it fails with io.EOF.
// With PoolOptions.Probe, NewPoolConn checks the connection before it returns
// it.
type PoolConn struct {
	*Conn
}

// NewPoolConn returns a connection to addr: the idle one that was used last, or
// else a new one. The number of connections has no limit unless ConfigurePools
// sets one. The optional timeout limits the dial. If the number is limited, it
// limits the wait for a connection too. The default is 30 seconds. Zero means
// no timeout.
func NewPoolConn(addr string, timeout ...time.Duration) (*PoolConn, error) {
	c, terms, err := pools.get(addr, timeout)
	if err != nil {
		return nil, poolHint(refusedHint(err), terms)
	}
	return newPoolConn(c, terms), nil
}

// poolHint adds a hint to the error of a caller that found all connections in use.
func poolHint(err error, t terms) error {
	var dial *conn.Error
	if t.pool == nil || !t.pool.bounded || errors.As(err, &dial) {
		return err
	}
	if isTimeout(err) || errors.Is(err, pool.ErrTooManyWaiters) {
		return hint(err, "is each PoolConn closed after use? else raise PoolOptions.MaxConns")
	}
	return err
}

// newPoolConn makes the PoolConn of a checkout, with one allocation.
func newPoolConn(c *pool.Conn, t terms) *PoolConn {
	all := &struct {
		pooled   PoolConn
		outer    Conn
		inner    innerConn
		checkout checkout
	}{}
	all.checkout.begin(c, t)
	all.inner.init(&all.checkout.first)
	all.inner.checkout = &all.checkout
	all.outer = Conn{Conn: &all.inner, inner: &all.inner}
	all.pooled.Conn = &all.outer
	return &all.pooled
}

// Close releases the connection. The pool keeps it if it is healthy: no
// operation has failed or timed out, no byte is unread, no package is
// incomplete and its lifetime is not over. Otherwise Close closes it.
//
// Close also closes a connection that has sent data and has received nothing
// since. Its reply may still arrive, and the next caller would read it. There is
// one exception: if the program never receives from an address, and the address
// never sends a byte, its connections are kept. See PoolOptions.KeepUnanswered.
//
// Close removes the deadlines of the checkout. A second Close does nothing.
//
// To close the connection even if it is healthy, call c.Conn.Close.
func (c *PoolConn) Close() error {
	s := c.innerConn()
	if s.checkout != nil {
		return s.checkout.end(s, true)
	}
	err := s.Close()
	if inner := c.Conn.inner; inner != nil && inner.checkout != nil {
		_ = inner.checkout.end(inner, false) // should the wrapper not have done so
	}
	return err
}
