package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/stretchr/testify/require"
)

// Small promises that a small mistake would break without another test to notice.

// busyPair is a pair whose new owner is held up in a write and in a read; old is
// the handle that has ended.
func busyPair(t *testing.T) (old *conn.Conn, end func()) {
	a, b := memnet.PipeSize(1)
	old = conn.New(a)
	var owner conn.Conn
	require.NoError(t, old.Handoff(&owner))
	done := make(chan struct{}, 2)
	go func() { _, _ = owner.Write([]byte("more than fits")); done <- struct{}{} }()
	go func() { _, _ = owner.Read(make([]byte, 1)); done <- struct{}{} }()
	synctest.Wait()
	return old, func() {
		require.NoError(t, owner.Close())
		<-done
		<-done
		require.NoError(t, b.Close())
	}
}

// A handle that has ended does not wait for what the new owner is doing.
func TestAnEndedHandleWaitsForNobody(t *testing.T) {
	for name, use := range map[string]func(c *conn.Conn) error{
		"Read":         func(c *conn.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"Peek":         func(c *conn.Conn) error { _, err := c.Peek(1); return err },
		"Write":        func(c *conn.Conn) error { _, err := c.Write([]byte("x")); return err },
		"WriteBuffers": func(c *conn.Conn) error { _, err := c.WriteBuffers([][]byte{{1}}); return err },
		"CloseWrite":   (*conn.Conn).CloseWrite,
		"Check":        (*conn.Conn).Check,
		"Ask":          func(c *conn.Conn) error { _, err := c.Ask([]byte("x")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, end := busyPair(t)
				defer end()
				got := make(chan error, 1)
				go func() { got <- use(old) }()
				synctest.Wait()
				select {
				case err := <-got:
					require.ErrorIs(t, err, net.ErrClosed)
				default:
					end()
					t.Fatal("it waits")
				}
			})
		})
	}
}

func TestOnlyADialsTimeLimitIsATimeout(t *testing.T) {
	for _, c := range []struct {
		err  *conn.Error
		want bool
	}{
		{&conn.Error{Op: "dial", Err: syscall.ECONNREFUSED}, false},
		{&conn.Error{Op: "dial", Err: syscall.ETIMEDOUT}, true},
		{&conn.Error{Op: "dial", Err: context.DeadlineExceeded}, true},
		{&conn.Error{Op: "read", Err: syscall.ETIMEDOUT}, false},
	} {
		require.Equal(t, c.want, c.err.Timeout(), "%v", c.err)
		require.Equal(t, c.want, c.err.Temporary(), "%v", c.err)
	}
}

// The error below is the one that package net makes, whichever way was read.
func TestReadErrorNamesTheNetwork(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		c, _ := socketPair(t, network, nil)
		require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
		_, err := c.Read(make([]byte, 1))
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, network, op.Net)
		require.Equal(t, "read", op.Op)
		require.Equal(t, c.LocalAddr(), op.Source)
	}
}

// refusesDeadlines is a transport that refuses deadlines.
type refusesDeadlines struct{ net.Conn }

var errNoDeadlines = errors.New("no deadlines")

func (refusesDeadlines) SetDeadline(time.Time) error      { return errNoDeadlines }
func (refusesDeadlines) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (refusesDeadlines) SetWriteDeadline(time.Time) error { return errNoDeadlines }

// Without deadlines Do cannot bound anything: it says so, has called nothing, and
// leaves the connection as it was.
func TestDoWhereThereAreNoDeadlines(t *testing.T) {
	a, b := memnet.Pipe()
	defer b.Close()
	c := conn.New(refusesDeadlines{a})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for range 2 {
		err := c.Do(ctx, func() error { return errors.New("called") })
		require.ErrorIs(t, err, errNoDeadlines)
		requireSafe(t, true, err)
		require.NoError(t, c.Reusable())
	}
	require.NoError(t, c.Do(context.Background(), func() error { return nil }))
}

// An Ask that a writer refuses takes no lock with it.
func TestAskRefusedByAWriterLeavesReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.PipeSize(4)
		c := conn.New(a)
		written := make(chan error, 1)
		go func() { _, err := c.Write([]byte("five!")); written <- err }()
		synctest.Wait()
		_, err := c.Ask([]byte("x"))
		require.ErrorIs(t, err, conn.ErrBusy)
		requireSafe(t, true, err)

		_, err = b.Write([]byte("abc"))
		require.NoError(t, err)
		read := make(chan byte, 1)
		go func() {
			var p [1]byte
			_, _ = c.Read(p[:])
			read <- p[0]
		}()
		synctest.Wait()
		require.Len(t, read, 1, "the read waits")
		require.Equal(t, byte('a'), <-read)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-written, net.ErrClosed)
		require.NoError(t, b.Close())
	})
}

// An Ask that times out before its first byte has left nothing half done: the
// connection can still be written to. One that has sent a part cannot.
func TestAskThatTimesOut(t *testing.T) {
	for _, c := range []struct {
		name string
		room int
		n    int
	}{{"before the first byte", 0, 0}, {"after three bytes", 3, 3}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memnet.PipeSize(8)
				k := conn.New(a)
				_, err := k.Write(make([]byte, 8-c.room)) // the peer has not read it
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				n := -1
				err = k.Do(ctx, func() error {
					n, err = k.Ask([]byte("request"))
					return err
				})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, c.n, n)
				requireSafe(t, c.n == 0, err)

				_, err = b.Read(make([]byte, 16))
				require.NoError(t, err)
				_, err = k.Write([]byte("x"))
				if c.n == 0 {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
					requireSafe(t, true, err)
				}
				require.NoError(t, k.Close())
				require.NoError(t, b.Close())
			})
		})
	}
}

func TestNothingIsNoError(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		n, err := c.Discard(0)
		require.NoError(t, err)
		require.Zero(t, n)
		b, err := c.Peek(0)
		require.NoError(t, err)
		require.Empty(t, b)
		m, err := c.WriteBuffers([][]byte{nil, {}})
		require.NoError(t, err)
		require.Zero(t, m)
		require.Zero(t, c.BytesWritten())
		require.NoError(t, c.Reusable())
	})
}

// An Ask that is refused, whatever for, leaves both directions to others.
func TestAskRefusedLeavesBothDirections(t *testing.T) {
	for name, unfit := range map[string]func(c *conn.Conn){
		"buffered": func(c *conn.Conn) { _, _ = c.Peek(1) },
		"deadline": func(c *conn.Conn) { _ = c.SetDeadline(time.Now().Add(time.Hour)) },
		"message":  func(c *conn.Conn) { c.SetMidMessage(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := memoryPair(t)
				_, err := peer.Write([]byte("ab"))
				require.NoError(t, err)
				unfit(c)
				_, err = c.Ask([]byte("x"))
				require.Error(t, err)
				requireSafe(t, true, err)
				done := make(chan struct{})
				go func() {
					_, _ = c.Write([]byte("y"))
					_, _ = c.Read(make([]byte, 1))
					close(done)
				}()
				synctest.Wait()
				select {
				case <-done:
				default:
					t.Fatal("a lock is left")
				}
			})
		})
	}
}

// counted is a transport that counts its reads.
type counted struct {
	net.Conn
	reads, largest int
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	c.largest = max(c.largest, len(p))
	return c.Conn.Read(p)
}

// Small reads share one of the transport's; a large one goes past the buffer.
func TestReadsOfTheTransport(t *testing.T) {
	a, b := memnet.Pipe()
	defer b.Close()
	transport := &counted{Conn: a}
	c := conn.New(transport)
	defer c.Close()
	_, err := b.Write(make([]byte, 100))
	require.NoError(t, err)
	for range 100 {
		_, err := c.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	require.Equal(t, 1, transport.reads)

	_, err = b.Write(make([]byte, 1<<15))
	require.NoError(t, err)
	n, err := c.Read(make([]byte, 1<<15))
	require.NoError(t, err)
	require.Equal(t, 1<<15, n)
	require.Equal(t, 2, transport.reads)
	require.Equal(t, 1<<15, transport.largest)
}

// The mark of a message half done belongs to the new owner.
func TestAnEndedHandleTakesNoMarkAway(t *testing.T) {
	c, _ := memoryPair(t)
	var owner conn.Conn
	require.NoError(t, c.Handoff(&owner))
	owner.SetMidMessage(true)
	c.SetMidMessage(false)
	require.Error(t, owner.Reusable())
	owner.SetMidMessage(false)
	c.SetMidMessage(true)
	require.NoError(t, owner.Reusable())
}

// deadlineFails is a transport whose socket is gone.
type deadlineFails struct {
	net.Conn
	err error
}

func (d deadlineFails) SetReadDeadline(time.Time) error { return d.err }
func (d deadlineFails) SetDeadline(time.Time) error     { return d.err }

func TestCheckOfATransportThatIsClosedBelow(t *testing.T) {
	for _, closed := range []error{net.ErrClosed, io.ErrClosedPipe} {
		a, b := memnet.Pipe()
		c := conn.New(deadlineFails{a, closed})
		require.ErrorIs(t, c.Check(), closed)
		require.NoError(t, c.Close())
		require.NoError(t, b.Close())
	}
}

// A TLS record that has not begun is not cut: the session goes on.
func TestTLSWriteAfterItsDeadlineHasPassed(t *testing.T) {
	c, peer := tlsPair(t)
	for _, write := range []func() error{
		func() error { _, err := c.Write([]byte("late")); return err },
		func() error { _, err := c.WriteBuffers([][]byte{[]byte("late")}); return err },
	} {
		require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
		err := write()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		requireSafe(t, true, err)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		require.NoError(t, write())
		got := make([]byte, 4)
		_, err = io.ReadFull(peer, got)
		require.NoError(t, err)
		require.Equal(t, "late", string(got))
	}
}

// While an Ask writes, the connection is nobody else's.
func TestNoHandoffWhileAnAskWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.PipeSize(1)
		c := conn.New(a)
		asked := make(chan error, 1)
		go func() { _, err := c.Ask([]byte("more than fits")); asked <- err }()
		synctest.Wait()
		require.ErrorIs(t, c.Reusable(), conn.ErrBusy)
		var next conn.Conn
		require.ErrorIs(t, c.Handoff(&next), conn.ErrBusy)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-asked, net.ErrClosed)
		require.NoError(t, b.Close())
	})
}

// Error.Written of a Do counts what this Do has written.
func TestDoCountsItsOwnBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := memoryPair(t)
		_, err := c.Write([]byte("earlier"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = c.Do(ctx, func() error {
			if _, err := c.Write([]byte("now")); err != nil {
				return err
			}
			_, err := c.Read(make([]byte, 1))
			return err
		})
		var e *conn.Error
		require.ErrorAs(t, err, &e)
		require.EqualValues(t, 3, e.Written)
	})
}

// Whatever reads, its error names the operation and the peer.
func TestEachReadsErrorIsAnError(t *testing.T) {
	for name, read := range map[string]func(c *conn.Conn) error{
		"Read":          func(c *conn.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"ReadFull":      func(c *conn.Conn) error { _, err := c.ReadFull(make([]byte, 1)); return err },
		"ReadUntil":     func(c *conn.Conn) error { _, err := c.ReadUntil(nil, []byte("\n"), 0); return err },
		"ReadAvailable": func(c *conn.Conn) error { _, err := c.ReadAvailable(nil, 0, 0); return err },
		"Peek":          func(c *conn.Conn) error { _, err := c.Peek(1); return err },
		"Discard":       func(c *conn.Conn) error { _, err := c.Discard(1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *conn.Conn, _ net.Conn) {
				require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
				var e *conn.Error
				err := read(c)
				require.ErrorAs(t, err, &e)
				require.Equal(t, "read", e.Op)
				require.Equal(t, c.RemoteAddr(), e.Addr)
				require.True(t, e.Timeout())
				require.Error(t, c.Reusable())
			})
		})
	}
}

// writesOf is a transport that counts its writes.
type writesOf struct {
	net.Conn
	writes int
}

func (w *writesOf) Write(p []byte) (int, error) {
	w.writes++
	return w.Conn.Write(p)
}

func TestWriteOfNothingWritesNothing(t *testing.T) {
	a, b := memnet.Pipe()
	defer b.Close()
	transport := &writesOf{Conn: a}
	c := conn.New(transport)
	defer c.Close()
	n, err := c.Write(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = c.WriteBuffers(nil)
	require.NoError(t, err)
	require.Zero(t, transport.writes)
}
