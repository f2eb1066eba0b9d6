package conn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// What an error says of its cause, its kind and the way back.

func TestKindOfAReadWithoutAName(t *testing.T) {
	require.Equal(t, conn.KindOther, conn.KindOf(&net.OpError{Op: "read", Err: errors.New("odd")}))
	require.Equal(t, conn.KindDial, conn.KindOf(&net.OpError{Op: "dial", Err: errors.New("odd")}))
}

func TestConfigErrorTellsItsCause(t *testing.T) {
	err := conn.Target{Network: "udp", Address: "a:1"}.Validate()
	var unknown net.UnknownNetworkError
	require.ErrorAs(t, err, &unknown)
}

// A Dial that fails with the error of another operation, as a greeting that it read,
// has failed to dial.
func TestErrorOfADialThatReads(t *testing.T) {
	read := &conn.Error{Op: "read", Err: errors.New("no greeting")}
	_, err := conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, read }}.Connect(t.Context())
	var e *conn.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "dial", e.Op)
	require.True(t, e.SafeToRetry())
	require.ErrorIs(t, err, read)
}

// The *net.OpError in an error of a socket is not wrapped in another.
func TestErrorOfASocketIsNotWrappedTwice(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
	_, readErr := c.Read(make([]byte, 1))
	_, writeErr := c.Write([]byte("x"))
	for op, err := range map[string]error{"read": readErr, "write": writeErr} {
		var outer, inner *net.OpError
		require.ErrorAs(t, err, &outer)
		require.Equal(t, op, outer.Op)
		require.False(t, errors.As(outer.Err, &inner))
		require.ErrorIs(t, outer.Err, os.ErrDeadlineExceeded)
	}
}

// An operation that Close interrupted says so, unless its time was over, and in the
// transport's own words where it has some.
func TestErrorOfAnInterruptedRead(t *testing.T) {
	own := &net.OpError{Op: "read", Err: net.ErrClosed}
	for name, test := range map[string]struct{ transport, want error }{
		"another error":     {errors.New("bad descriptor"), net.ErrClosed},
		"its own":           {own, own},
		"its time was over": {os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			reading, closed := make(chan struct{}), make(chan struct{})
			c := conn.New(&stub{
				read:  func([]byte) (int, error) { close(reading); <-closed; return 0, test.transport },
				close: func() error { close(closed); return nil },
			})
			got := make(chan error)
			go func() { _, err := c.Read(make([]byte, 1)); got <- err }()
			<-reading
			require.NoError(t, c.Close())
			require.ErrorIs(t, <-got, test.want)
		})
	}
}

// A context that was cancelled is told as that, even if its deadline has passed since.
func TestCancelledBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := memoryPair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Do(ctx, func() error {
			time.AfterFunc(time.Millisecond, cancel)
			_, err := c.Read(make([]byte, 1))
			time.Sleep(time.Minute)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, c.Close())
	})
}

// hookedContext calls a function when it is asked for its deadline.
type hookedContext struct {
	context.Context
	asked func()
}

func (c hookedContext) Deadline() (time.Time, bool) {
	c.asked()
	return c.Context.Deadline()
}

// The connection is closed while Do begins: its function is not called.
func TestCloseWhileDoBegins(t *testing.T) {
	c, _ := memoryPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Do(hookedContext{ctx, func() { _ = c.Close() }}, func() error {
		t.Error("called")
		return nil
	})
	require.ErrorIs(t, err, net.ErrClosed)
}

// A transport that refuses the deadline of a Do is heard, where the directions have
// different ones too.
func TestDoWhoseDeadlineIsRefused(t *testing.T) {
	refused := errors.New("refused")
	c, d := noted(t)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	d.readErr = refused
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.ErrorIs(t, c.Do(ctx, func() error { return nil }), refused)
}

// Check tells that the descriptor is gone.
func TestCheckOfAClosedDescriptor(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.NetConn().Close())
	require.Error(t, c.Check())
}

// embedder has the descriptor of its connection, and a Write of its own.
type embedder struct{ *net.TCPConn }

func (embedder) Write([]byte) (int, error) { return 0, errors.New("odd") }

// A failed write of a transport that may have changed the bytes is never safe.
func TestWriteOfATypeThatEmbedsASocket(t *testing.T) {
	c, _ := tcpPair(t)
	wrapped := conn.New(embedder{c.NetConn().(*net.TCPConn)})
	_, err := wrapped.Write([]byte("x"))
	requireSafe(t, false, err)
}

// The error of a small WriteBuffers is told.
func TestErrorOfASmallWriteBuffers(t *testing.T) {
	odd := errors.New("odd")
	c := conn.New(&stub{write: func([]byte) (int, error) { return 1, odd }})
	n, err := c.WriteBuffers([][]byte{[]byte("a"), []byte("b")})
	require.EqualValues(t, 1, n)
	require.ErrorIs(t, err, odd)
}

// A write deadline that has passed is the transport's to heed, unless a write would
// break it. Then the write fails, and the connection is not as new.
func TestWriteAfterItsDeadline(t *testing.T) {
	c := conn.New(&stub{write: func(p []byte) (int, error) { return len(p), nil }})
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
	n, err := c.WriteBuffers([][]byte{[]byte("ab")})
	require.NoError(t, err, "it knows no deadlines")
	require.EqualValues(t, 2, n)

	over, _ := tlsPair(t)
	require.NoError(t, over.SetWriteDeadline(time.Now().Add(time.Hour)))
	_, err = over.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, over.SetWriteDeadline(time.Now().Add(-time.Second)))
	_, err = over.Write([]byte("x"))
	requireTimeout(t, err)
	require.NoError(t, over.SetWriteDeadline(time.Time{}))
	require.ErrorIs(t, over.Reusable(), conn.ErrUnfit)
	require.NoError(t, over.Err())
}

func TestDialerValidatesVersionsAndTimeouts(t *testing.T) {
	for _, cfg := range []*tls.Config{
		{MaxVersion: tls.VersionTLS12}, {MinVersion: tls.VersionTLS13}, {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13},
	} {
		require.NoError(t, (&conn.Dialer{TLS: cfg}).Validate())
	}
	require.Error(t, (&conn.Dialer{TLS: &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}}).Validate())
	require.NoError(t, (&conn.Dialer{UserTimeout: math.MaxInt32 * time.Millisecond}).Validate())
	require.Error(t, (&conn.Dialer{UserTimeout: math.MaxInt32*time.Millisecond + 1}).Validate())
}

// held is a transport whose reads take so long before they time out.
type held struct {
	net.Conn
	takes []time.Duration
	reads int
}

func (h *held) Read([]byte) (int, error) {
	h.reads++
	if len(h.takes) > 0 {
		time.Sleep(h.takes[0])
		h.takes = h.takes[1:]
	}
	return 0, os.ErrDeadlineExceeded
}

// A Check that was held up for as long as it was to listen listens again.
func TestCheckThatWasHeldUp(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		takes []time.Duration
		reads int
	}{
		"not at all":        {[]time.Duration{ms}, 1},
		"a little":          {[]time.Duration{2*ms - 1}, 1},
		"once as long":      {[]time.Duration{2 * ms, ms}, 2},
		"longer":            {[]time.Duration{2500 * time.Microsecond, ms}, 2},
		"the second longer": {[]time.Duration{2 * ms, 4 * ms, ms}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := memoryPair(t)
				h := &held{Conn: c.NetConn(), takes: test.takes}
				require.NoError(t, conn.New(h).Check())
				require.Equal(t, test.reads, h.reads)
				require.NoError(t, c.Close())
			})
		})
	}
}
