package conn_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// everyMethod calls every method of an ended handle that can fail.
func everyMethod(c *conn.Conn) map[string]error {
	p := make([]byte, 8)
	errs := map[string]error{}
	_, errs["Read"] = c.Read(p)
	_, errs["ReadFull"] = c.ReadFull(p)
	_, errs["ReadUntil"] = c.ReadUntil(nil, []byte("\n"), 0)
	_, errs["ReadAvailable"] = c.ReadAvailable(nil, 1, time.Second)
	_, errs["Peek"] = c.Peek(1)
	_, errs["Discard"] = c.Discard(1)
	_, errs["Write"] = c.Write(p)
	_, errs["WriteBuffers"] = c.WriteBuffers([][]byte{p})
	errs["SetDeadline"] = c.SetDeadline(time.Now())
	errs["SetReadDeadline"] = c.SetReadDeadline(time.Now())
	errs["SetWriteDeadline"] = c.SetWriteDeadline(time.Now())
	errs["Do"] = c.Do(noContext, func() error { panic("not to be called") })
	errs["Check"] = c.Check()
	errs["Err"] = c.Err()
	errs["Reusable"] = c.Reusable()
	errs["CloseWrite"] = c.CloseWrite()
	errs["Handoff"] = c.Handoff(new(conn.Conn))
	errs["Close"] = c.Close()
	return errs
}

func TestEndedHandle(t *testing.T) {
	stale, _ := tcpPair(t)
	var next conn.Conn
	require.NoError(t, stale.Handoff(&next))
	closed, _ := tcpPair(t)
	require.NoError(t, closed.Close())
	for name, c := range map[string]*conn.Conn{"zero": {}, "handed off": stale, "closed": closed} {
		t.Run(name, func(t *testing.T) {
			for method, err := range everyMethod(c) {
				require.ErrorIs(t, err, net.ErrClosed, method)
				if method == "Write" || method == "WriteBuffers" || method == "Do" {
					requireSafe(t, true, err)
				}
			}
			require.Zero(t, c.Buffered())
			c.SetMidMessage(true)
			if name == "zero" {
				require.Nil(t, c.LocalAddr())
				require.Nil(t, c.RemoteAddr())
				require.Nil(t, c.NetConn())
				require.Zero(t, c.BytesRead()+c.BytesWritten())
				c.OnClose(func() { t.Error("called") })
			} else {
				require.NotNil(t, c.LocalAddr())
				require.NotNil(t, c.RemoteAddr())
			}
		})
	}
	require.Nil(t, stale.NetConn())
	stale.OnClose(func() { t.Error("called") })
	require.NoError(t, next.Reusable(), "nothing of that has touched the live handle")
	require.NoError(t, next.Check())
	require.NoError(t, next.Close())
}

func TestHandoffKeepsTheConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		closed := 0
		c.OnClose(func() { closed++ })
		send(t, peer, "a")
		require.NoError(t, readByte(c)())

		var second, third conn.Conn
		require.NoError(t, c.Handoff(&second))
		require.Error(t, second.Handoff(&second), "the receiving handle must not be in use")
		require.NoError(t, second.Handoff(&third))
		require.NoError(t, third.Handoff(&second), "an ended handle can begin again")

		require.EqualValues(t, 1, second.BytesRead())
		send(t, peer, "b")
		require.NoError(t, readByte(&second)())
		require.Error(t, c.Close())
		require.Zero(t, closed)
		require.NoError(t, second.Close())
		require.Equal(t, 1, closed)
	})
}

// A connection that is not fit to be another's stays with who has it, and what
// it is not fit for stays as it was.
func TestHandoffRefusesTheUnfit(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		var to conn.Conn
		refused := func(want error) {
			t.Helper()
			err := c.Handoff(&to)
			require.ErrorIs(t, err, want)
			require.ErrorContains(t, err, "conn: handoff "+c.RemoteAddr().String())
			require.ErrorIs(t, c.Reusable(), want)
			require.ErrorIs(t, to.Close(), net.ErrClosed, "it has become no handle")
		}
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		refused(conn.ErrDeadlineSet)
		c.SetMidMessage(true)
		refused(conn.ErrMidMessage)
		send(t, peer, "abcdef")
		peeked, err := c.Peek(6)
		require.NoError(t, err)
		refused(conn.ErrUnread)
		require.Equal(t, "abcdef", string(peeked), "the slice is valid still")
		p := make([]byte, 6)
		_, err = c.ReadFull(p)
		require.NoError(t, err)
		require.Equal(t, "abcdef", string(p))
		refused(conn.ErrMidMessage)
		c.SetMidMessage(false)
		refused(conn.ErrDeadlineSet)
		require.NoError(t, c.SetReadDeadline(time.Time{}))

		require.NoError(t, c.Handoff(&to))
		require.NoError(t, to.SetReadDeadline(time.Now().Add(-time.Second)))
		requireTimeout(t, readByte(&to)())
		require.NoError(t, to.SetReadDeadline(time.Time{}))
		require.ErrorIs(t, to.Handoff(c), conn.ErrUnfit)
		halfClose(t, peer)
		require.Equal(t, io.EOF, readByte(&to)())
		require.ErrorIs(t, to.Handoff(c), io.EOF)
		require.NoError(t, to.Close())
		require.ErrorIs(t, to.Handoff(c), net.ErrClosed)
	})
}

func TestHandoffDuringARead(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		read := make(chan error, 1)
		go func() { read <- readByte(c)() }()
		var to conn.Conn
		eventually(t, conn.ErrBusy, c.Check)
		require.ErrorIs(t, c.Handoff(&to), conn.ErrBusy)
		require.ErrorIs(t, to.Close(), net.ErrClosed, "a failed Handoff begins nothing")
		send(t, peer, "x")
		require.NoError(t, <-read, "and ends nothing")
		require.NoError(t, c.Handoff(&to))
	})
}

// Stale handles are used from many goroutines at once while the connection is
// handed on and used: each operation of the live handle must succeed, each of
// a stale one fail, and -race must stay silent.
func TestStaleHandlesTouchNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		go func() { _, _ = io.Copy(peer, peer) }()
		const rounds, vandals = 300, 4
		var wg sync.WaitGroup
		defer wg.Wait()
		stale := make(chan *conn.Conn, vandals)
		defer close(stale)
		for range vandals {
			wg.Go(func() {
				for s := range stale {
					for method, err := range everyMethod(s) {
						if err == nil {
							t.Errorf("%s worked through a stale handle", method)
						}
					}
				}
			})
		}
		live, p := c, make([]byte, 4)
		for range rounds {
			old := live
			live = new(conn.Conn)
			require.NoError(t, old.Handoff(live))
			for range vandals {
				select {
				case stale <- old:
				default:
				}
			}
			_, err := live.Write([]byte("ping"))
			require.NoError(t, err)
			_, err = live.ReadFull(p)
			require.NoError(t, err)
			require.Equal(t, "ping", string(p))
			require.NoError(t, live.Reusable())
		}
		require.NoError(t, live.Close())
	})
}

func TestOnClose(t *testing.T) {
	c, _ := tcpPair(t)
	calls := 0
	c.OnClose(func() { calls++ })
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Close(), net.ErrClosed)
	require.Equal(t, 1, calls)
	c.OnClose(func() { calls++ })
	require.Equal(t, 2, calls, "too late is at once")
	c.OnClose(nil)

	c, _ = tcpPair(t)
	c.OnClose(func() { t.Error("taken away") })
	c.OnClose(nil)
	require.NoError(t, c.Close())
}

// Nothing that was begun through a handle comes through to the next one: others
// set marks, deadlines and hooks, write and Do through whatever handle is to be
// had, while its owner hands it on again and again. Each next handle, until
// they are told of it, must be fit and stay so.
func TestNothingComesThroughAHandoff(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var live atomic.Pointer[conn.Conn]
		live.Store(c)
		var wg sync.WaitGroup
		defer wg.Wait()
		var done atomic.Bool
		defer done.Store(true)
		for _, meddle := range []func(c *conn.Conn){
			func(c *conn.Conn) { c.SetMidMessage(true); c.SetMidMessage(false) },
			func(c *conn.Conn) { _ = c.SetDeadline(time.Now().Add(time.Hour)); _ = c.SetDeadline(time.Time{}) },
			func(c *conn.Conn) { _, _ = c.Write([]byte("x")) },
			func(c *conn.Conn) { _ = c.Do(ctx, func() error { return nil }) },
			func(c *conn.Conn) { c.OnClose(func() {}) },
		} {
			wg.Go(func() {
				var last *conn.Conn
				for !done.Load() {
					if c := live.Load(); c != last { // once with each, or it is never idle
						meddle(c)
						last = c
					}
					runtime.Gosched()
				}
			})
		}
		for passed := 0; passed < 200; {
			next := new(conn.Conn)
			if err := live.Load().Handoff(next); err != nil {
				require.NotErrorIs(t, err, net.ErrClosed)
				runtime.Gosched()
				continue
			}
			passed++
			for range 20 {
				require.NoError(t, next.Reusable())
				runtime.Gosched()
			}
			live.Store(next)
		}
	})
}
