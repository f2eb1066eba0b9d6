package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// flakyServer ends the first failures requests' connections after it has
// executed them, and counts what it executes.
func flakyServer(t *testing.T, failures int32) (addr string, executed *atomic.Int32) {
	executed = &atomic.Int32{}
	return frameServer(t, func(_ context.Context, req []byte) ([]byte, error) {
		if executed.Add(1) <= failures {
			return nil, errors.New("this connection ends")
		}
		return req, nil
	}), executed
}

func TestClientDoesNotRepeatWhatMayHaveBeenSeen(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, executed := flakyServer(t, 1)
		c := client(t, addr, gtcp.ClientConfig{Shared: shared})
		_, err := c.Call(t.Context(), []byte("once"))
		require.ErrorIs(t, err, io.EOF)
		require.False(t, retry.SafeToRetry(err))
		require.ErrorContains(t, err, "request written")
		require.EqualValues(t, 1, executed.Load())
	})
}

func TestClientRepeatsWhatIsIdempotent(t *testing.T) {
	fast := retry.Policy{Backoff: retry.Constant(0)}
	idempotent := fast
	idempotent.Idempotent = true
	for _, c := range []struct {
		name   string
		client retry.Policy
		call   gtcp.CallOptions
	}{
		{"client", idempotent, gtcp.CallOptions{}},
		{"call", fast, gtcp.CallOptions{Idempotent: true}},
		{"call's policy", retry.Policy{MaxAttempts: 1}, gtcp.CallOptions{Retry: &idempotent}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, shared bool) {
				addr, executed := flakyServer(t, 2)
				cl := client(t, addr, gtcp.ClientConfig{
					Shared: shared, Retry: c.client,
					Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
				})
				reply, err := cl.CallWith(t.Context(), []byte("kept:"), []byte("x"), c.call)
				require.NoError(t, err)
				require.Equal(t, "kept:x", string(reply))
				require.EqualValues(t, 3, executed.Load())
			})
		})
	}
}

// A dial that fails is repeated; the budget of all calls is kept to.
func TestClientRepeatsDials(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr := frameServer(t, echoed)
		var dials atomic.Int32
		budget := &retry.Budget{Burst: 3, PerSecond: -1, Ratio: -1}
		c := client(t, addr, gtcp.ClientConfig{
			Shared: shared,
			Retry:  retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(0), Budget: budget},
			Target: conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				if n := dials.Add(1); n <= 2 || n >= 4 {
					return nil, errors.New("refused")
				}
				return (&conn.Dialer{}).Dial(ctx, "tcp", addr)
			}},
			Pool:     pool.Config{DialBackoff: conn.DialBackoff{After: -1}},
			Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		})
		_, err := c.Call(t.Context(), []byte("x"))
		require.NoError(t, err)
		require.EqualValues(t, 3, dials.Load())
		require.EqualValues(t, 2, budget.Stat().Allowed)
	})
}

// A connection that the server closed while it was idle is not noticed.
func TestClientIdleConnectionClosed(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		closed := make(chan struct{}, 1)
		addr := rawServer(t, func(c *net.TCPConn, _ int) {
			frame := make([]byte, 3)
			_, _ = io.ReadFull(c, frame)
			_, _ = c.Write(frame)
			_ = c.Close()
			closed <- struct{}{}
		})
		c := client(t, addr, gtcp.ClientConfig{Shared: shared, Retry: retry.Policy{MaxAttempts: 1}})
		rounds, counted, begun := 0, 0, time.Time{}
		for ; counted < 10 && rounds < 1000; rounds++ {
			last := begun
			begun = time.Now()
			reply, err := c.Call(t.Context(), []byte("x"))
			// A shared connection that was quiet for 10 ms has a reader, which may be
			// about to hear of the close.
			if shared && err != nil && time.Since(last) >= 10*time.Millisecond {
				require.Equal(t, conn.KindPeerClosed, conn.KindOf(err), "%v", err)
				begun = time.Time{}
				continue
			}
			require.NoError(t, err)
			require.Equal(t, "x", string(reply))
			if !shared || time.Since(last) < 10*time.Millisecond {
				counted++
			}
			// A shared connection is looked at when it was quiet for so long.
			<-closed
			for replied := time.Now(); time.Since(replied) < time.Millisecond; {
				runtime.Gosched()
			}
		}
		if counted < 10 {
			t.Skipf("too slow here: %d of %d calls began soon enough after the one before", counted, rounds)
		}
	})
}

func TestClientContext(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		stuck, entered := make(chan struct{}), make(chan struct{}, 1)
		addr := frameServer(t, func(ctx context.Context, req []byte) ([]byte, error) {
			if string(req) == "heard" {
				entered <- struct{}{}
			}
			select {
			case <-stuck:
			case <-ctx.Done():
			}
			return req, nil
		})
		c := client(t, addr, gtcp.ClientConfig{Shared: shared})
		written, giveUp := context.WithCancel(t.Context())
		go func() {
			<-entered
			giveUp()
		}()
		_, err := c.Call(written, []byte("heard"))
		require.ErrorIs(t, err, context.Canceled)
		var e *gtcp.CallError
		require.ErrorAs(t, err, &e)
		require.True(t, e.Written)
		require.False(t, retry.SafeToRetry(err))

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		dst := []byte("as it was")
		reply, err := c.AppendCall(ctx, dst, []byte("x"))
		require.Equal(t, dst, reply)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorAs(t, err, &e)
		require.True(t, e.Timeout())
		require.Equal(t, conn.KindTimeout, e.Kind())
		close(stuck)
		_, err = c.Call(ctx, []byte("x"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		reply, err = c.Call(t.Context(), []byte("y"))
		require.NoError(t, err)
		require.Equal(t, "y", string(reply))
	})
}

// A reply over the limit, and bytes that nobody asked for, end the connection
// and reach nobody else.
func TestClientHostileServer(t *testing.T) {
	for _, bytes := range []string{"\x7f\xff", "\x00\x01x\x00\x01y", "\x00\x01x\x00"} {
		eachMode(t, func(t *testing.T, shared bool) {
			addr := rawServer(t, func(c *net.TCPConn, n int) {
				frame := make([]byte, 3)
				for i := 0; ; i++ {
					if _, err := io.ReadFull(c, frame); err != nil {
						return
					}
					if n == 0 && i == 0 {
						_, _ = c.Write([]byte(bytes))
					} else {
						_, _ = c.Write(frame)
					}
				}
			})
			c := client(t, addr, gtcp.ClientConfig{Shared: shared, Format: framing.Format{MaxSize: 100}})
			reply, err := c.Call(t.Context(), []byte("x"))
			if bytes[0] == 0x7f {
				var size *framing.SizeError
				require.ErrorAs(t, err, &size)
			} else {
				require.NoError(t, err)
				require.Equal(t, "x", string(reply))
			}
			for range 5 {
				reply, err := c.Call(t.Context(), []byte("z"))
				require.NoError(t, err)
				require.Equal(t, "z", string(reply))
			}
		})
	}
}

// A request that an earlier attempt has sent is not safe to repeat because the
// last attempt did not get as far.
func TestClientRemembersEarlierAttempts(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, executed := flakyServer(t, 1)
		down := errors.New("down")
		var dials atomic.Int32
		c := client(t, addr, gtcp.ClientConfig{
			Shared: shared,
			Retry:  retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(0), Idempotent: true},
			Target: conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				if dials.Add(1) > 1 {
					return nil, down
				}
				return (&conn.Dialer{}).Dial(ctx, "tcp", addr)
			}},
			Pool:     pool.Config{DialBackoff: conn.DialBackoff{After: -1}},
			Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		})
		_, err := c.Call(t.Context(), []byte("x"))
		require.ErrorIs(t, err, down)
		require.EqualValues(t, 1, executed.Load())
		require.False(t, retry.SafeToRetry(err))
		_, err = c.Call(t.Context(), []byte("y"))
		require.ErrorIs(t, err, down)
		require.True(t, retry.SafeToRetry(err), "of this one nothing was sent")
	})
}

// Bytes that came unasked while a connection was idle are nobody's reply, and
// cost the next call nothing but a dial.
func TestClientIdleConnectionDirty(t *testing.T) {
	addr, late := lateServer(t)
	c := client(t, addr, gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 1}})
	reply, err := c.Call(t.Context(), []byte("first"))
	require.NoError(t, err)
	require.Equal(t, "first", string(reply))
	late()
	for range 3 {
		reply, err = c.Call(t.Context(), []byte("other"))
		require.NoError(t, err)
		require.Equal(t, "other", string(reply))
	}
	s := c.Stat().Pool
	require.EqualValues(t, 2, s.Dials)
	require.EqualValues(t, 1, s.Evictions[pool.Dirty])
	require.Equal(t, 1, s.Idle)
}

// With a server that has gone, a call fails with the dial's error and can be
// repeated elsewhere.
func TestClientIdleConnectionClosedForGood(t *testing.T) {
	l := heldListener(t)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c, err := l.Accept()
		l.Close()
		if err == nil {
			_, _ = io.CopyN(c, c, 3)
			c.Close()
		}
	}()
	c := client(t, l.Addr().String(), gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 1}})
	_, err := c.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	<-gone
	_, err = c.Call(t.Context(), []byte("x"))
	require.ErrorContains(t, err, "refused")
	require.True(t, retry.SafeToRetry(err))
	require.Zero(t, c.Stat().Pool.Open)
}

// Who wants no probe has none: the connection that its peer has closed is used,
// and the call fails as Pool.ProbeAfter says.
func TestClientWithoutProbe(t *testing.T) {
	closed := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = io.CopyN(c, c, 3)
		_ = c.Close()
		closed <- struct{}{}
	})
	c := client(t, addr, gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 1}, Pool: pool.Config{Probe: pool.Probe{Mode: pool.ProbeNever}}})
	_, err := c.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	<-closed
	_, err = c.Call(t.Context(), []byte("x"))
	var call *gtcp.CallError
	require.ErrorAs(t, err, &call)
	require.True(t, call.Written)
}
