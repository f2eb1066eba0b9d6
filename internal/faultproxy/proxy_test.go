package faultproxy_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

func TestFaithful(t *testing.T) {
	p := start(t, echo(t), nil)
	sent := pattern(300_000)
	got, err := exchange(t, dial(t, p), sent)
	require.NoError(t, err)
	require.Equal(t, sent, got)
	c := p.Counts()
	require.Equal(t, faultproxy.Counts{Conns: 1, BytesUp: 300_000, BytesDown: 300_000}, c)
	require.Zero(t, c.Faults())
}

func TestSplitAndDelay(t *testing.T) {
	for _, chunk := range []int{1, 7, 1000} {
		t.Run(fmt.Sprint(chunk), func(t *testing.T) {
			f := faultproxy.Fault{Chunk: chunk, Delay: 10 * time.Microsecond, Jitter: 10 * time.Microsecond}
			p := start(t, echo(t), always(faultproxy.Plan{Up: f, Down: f}))
			sent := pattern(2500)
			got, err := exchange(t, dial(t, p), sent)
			require.NoError(t, err)
			require.Equal(t, sent, got)
			c := p.Counts()
			writes := uint64(2 * ((2500 + chunk - 1) / chunk))
			require.GreaterOrEqual(t, c.Delays, writes) // one before each write
			require.Positive(t, c.Splits)
		})
	}
}

func TestSplitReachesTheReader(t *testing.T) {
	p := start(t, echo(t), always(faultproxy.Plan{Down: faultproxy.Fault{Chunk: 1, Delay: 20 * time.Millisecond}}))
	c := dial(t, p)
	_, err := c.Write([]byte("abc"))
	require.NoError(t, err)
	buf := make([]byte, 8)
	n, err := c.Read(buf)
	require.NoError(t, err)
	require.Less(t, n, 3)
}

func TestTruncateAtEveryOffset(t *testing.T) {
	target := echo(t)
	p := start(t, target, func(n int) faultproxy.Plan {
		return faultproxy.Plan{Down: faultproxy.Fault{End: faultproxy.Truncate, After: int64(n)}}
	})
	sent := pattern(40)
	for n := range 40 {
		c := dial(t, p)
		_, _ = c.Write(sent)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, sent[:n], got)
	}
	require.Equal(t, uint64(40), p.Counts().Truncates)
}

func TestTruncateUpReachesTheServer(t *testing.T) {
	got := make(chan []byte, 1)
	target := serve(t, func(c *net.TCPConn) { b, _ := io.ReadAll(c); got <- b })
	p := start(t, target, always(faultproxy.Plan{Up: faultproxy.Fault{End: faultproxy.Truncate, After: 5}}))
	_, err := dial(t, p).Write(pattern(9))
	require.NoError(t, err)
	require.Equal(t, pattern(5), <-got)
}

func TestHalfCloseLeavesTheOtherDirection(t *testing.T) {
	target := serve(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		_, _ = c.Write(append(b, " and goodbye"...))
	})
	p := start(t, target, always(faultproxy.Plan{Up: faultproxy.Fault{End: faultproxy.HalfClose, After: 3}}))
	c := dial(t, p)
	_, err := c.Write([]byte("abcdef"))
	require.NoError(t, err)
	got := make([]byte, len("abc and goodbye"))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "abc and goodbye", string(got))
	require.Equal(t, uint64(1), p.Counts().HalfCloses)
}

func TestReset(t *testing.T) {
	p := start(t, echo(t), always(faultproxy.Plan{Up: faultproxy.Fault{End: faultproxy.Reset}}))
	requireResetAtOnce(t, p)
	for _, after := range []int64{1, 4} {
		p := start(t, echo(t), always(faultproxy.Plan{Down: faultproxy.Fault{End: faultproxy.Reset, After: after}}))
		c := dial(t, p)
		_, err := c.Write([]byte("abcdef"))
		require.NoError(t, err)
		got, err := io.ReadAll(c)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.LessOrEqual(t, int64(len(got)), after)
		require.Equal(t, uint64(1), p.Counts().Resets)
	}
}

func TestStallSwallows(t *testing.T) {
	p := start(t, echo(t), always(faultproxy.Plan{Down: faultproxy.Fault{End: faultproxy.Stall, After: 2}}))
	c := dial(t, p)
	_, err := c.Write([]byte("abcdef"))
	require.NoError(t, err)
	got := make([]byte, 6)
	_, err = io.ReadFull(c, got[:2])
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(got)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return p.Open() == 0 }, patience, time.Millisecond)
	require.Equal(t, uint64(1), p.Counts().Stalls)
}

func TestRefuse(t *testing.T) {
	target := echo(t)
	p := start(t, target, nil)
	live := dial(t, p)
	roundTrip(t, live)
	require.NoError(t, p.Refuse(true))
	require.NoError(t, p.Refuse(true))
	_, err := net.Dial("tcp", p.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	roundTrip(t, live)
	require.NoError(t, p.Refuse(false))
	require.NoError(t, p.Refuse(false))
	roundTrip(t, dial(t, p))

	p.SetPlan(always(faultproxy.Plan{Refuse: true}))
	requireResetAtOnce(t, p)
	require.Equal(t, uint64(1), p.Counts().Refused)
	p.SetPlan(nil)
	roundTrip(t, dial(t, p))
}

func TestRefuseWhenThePortWasTaken(t *testing.T) {
	p := start(t, echo(t), nil)
	require.NoError(t, p.Refuse(true))
	l, err := net.Listen("tcp", p.Addr())
	require.NoError(t, err)
	require.ErrorIs(t, p.Refuse(false), syscall.EADDRINUSE)
	require.NoError(t, l.Close())
	require.NoError(t, p.Refuse(false))
}

func TestTargetGone(t *testing.T) {
	gone, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	p := start(t, gone, nil)
	requireResetAtOnce(t, p)
	require.Equal(t, uint64(1), p.Counts().DialErrors)
	p.SetTarget(echo(t))
	roundTrip(t, dial(t, p))
}

func TestFreeze(t *testing.T) {
	p := start(t, echo(t), nil)
	c := dial(t, p)
	roundTrip(t, c)
	p.Freeze(true)
	p.Freeze(true)
	_, err := c.Write([]byte("held"))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	p.Freeze(false)
	p.Freeze(false)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, 4)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "held", string(got))
	require.Equal(t, uint64(1), p.Counts().Stalls)
}

func TestResetAll(t *testing.T) {
	p := start(t, echo(t), nil)
	a, b := dial(t, p), dial(t, p)
	roundTrip(t, a)
	roundTrip(t, b)
	require.Equal(t, 2, p.Open())
	require.Equal(t, 2, p.ResetAll())
	requireReset(t, a)
	requireReset(t, b)
	roundTrip(t, dial(t, p))
}

func TestServerResetReachesTheClient(t *testing.T) {
	target := serve(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	})
	p := start(t, target, nil)
	c := dial(t, p)
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	requireReset(t, c)
	require.Zero(t, p.Counts().Resets)
}

func TestCloseEndsEverything(t *testing.T) {
	slow := faultproxy.Fault{Delay: time.Hour}
	for name, plan := range map[string]faultproxy.Plan{
		"idle": {}, "delayed": {Up: slow}, "stalled": {Up: faultproxy.Fault{End: faultproxy.Stall}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, echo(t), always(plan))
			c := dial(t, p)
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			if name == "delayed" {
				require.Eventually(t, func() bool { return p.Counts().Delays > 0 }, patience, time.Millisecond)
			}
			require.NoError(t, p.Close())
			require.NoError(t, p.Close())
			_, err = io.ReadAll(c)
			if err != nil {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			_, err = net.Dial("tcp", p.Addr())
			require.Error(t, err)
			require.NoError(t, p.Refuse(false))
		})
	}
}

func TestCloseWhileFrozen(t *testing.T) {
	p := start(t, echo(t), nil)
	c := dial(t, p)
	roundTrip(t, c)
	p.Freeze(true)
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, p.Close())
}

func roundTrip(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_, err := c.Write([]byte("ping"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "ping", string(got))
}

func requireReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_, err := io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// requireResetAtOnce: the reset may overtake the end of the dial.
func requireResetAtOnce(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		_, err = io.ReadAll(c)
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}
