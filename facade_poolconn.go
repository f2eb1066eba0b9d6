package gtcp

import (
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// PoolConn is a Conn from the pool of its address: Close gives it back. It is
// good for one checkout. After Close each of its methods fails with an error
// that is net.ErrClosed and touches nobody's connection.
//
// A connection that was idle may have been closed by its peer. If the first
// write fails before any byte has left, PoolConn moves to a new connection and
// writes there. If it is the read that fails, the error is io.EOF.
// PoolOptions.Probe looks before NewPoolConn returns.
type PoolConn struct {
	*Conn
}

// NewPoolConn returns a connection to addr: the idle one that was used last, or
// else a new one. There is no bound on their number unless ConfigurePools sets
// one. The optional timeout bounds the dial, and with a bound the wait for a
// connection: 30 seconds by default, zero for none.
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

// Close gives the connection back. The pool keeps it if it is healthy: no
// operation has failed or timed out, no byte is unread, no package is half done
// and its lifetime is not over. Otherwise Close closes it.
//
// Close also closes a connection that was sent to and has brought nothing since:
// its reply may still come, and would reach the next caller. Connections to an
// address that nobody receives from, and that has never sent a byte, are kept
// nevertheless; see PoolOptions.KeepUnanswered.
//
// Deadlines belong to the checkout and end with it. A second Close does nothing.
//
// (The embedded Conn's Close closes the connection whatever its health.)
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
