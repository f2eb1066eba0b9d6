package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// refusedAddr is an address that refuses connections.
func refusedAddr(t testing.TB) string {
	t.Helper()
	addr, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return addr
}

// heldListener listens at a port that nobody else gets, also after it was closed.
func heldListener(t testing.TB) net.Listener {
	t.Helper()
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// silentServer reads and never replies.
func silentServer(t *testing.T) string {
	return rawServer(t, func(c *net.TCPConn, _ int) { _, _ = io.Copy(io.Discard, c) })
}

// clientFault is a way for a call to fail, and what its error must say.
type clientFault struct {
	name    string
	addr    func(t *testing.T) string
	config  gtcp.ClientConfig
	call    func(ctx context.Context, c *gtcp.Client) error
	kind    string
	is      error
	written bool
	safe    bool
	timeout bool
	tries   int
}

func (f clientFault) of(t *testing.T, shared bool) (*gtcp.Client, error) {
	cfg := f.config
	cfg.Shared = shared
	if cfg.Retry.MaxAttempts == 0 {
		cfg.Retry.MaxAttempts = 1
	}
	c := client(t, f.addr(t), cfg)
	if f.call != nil {
		return c, f.call(t.Context(), c)
	}
	_, err := c.Call(t.Context(), []byte("x"))
	return c, err
}

var clientFaults = []clientFault{
	{name: "refused", addr: func(t *testing.T) string { return refusedAddr(t) }, kind: conn.KindRefused, safe: true, tries: 1},
	{name: "refused twice", addr: func(t *testing.T) string { return refusedAddr(t) }, config: gtcp.ClientConfig{
		Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)},
	}, kind: conn.KindRefused, safe: true, tries: 2},
	{name: "no reply", addr: func(t *testing.T) string { return stuckServer(t, 100) }, call: func(ctx context.Context, c *gtcp.Client) error {
		if _, err := c.Call(ctx, []byte("y")); err != nil { // so that there is a connection
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_, err := c.Call(ctx, []byte("x"))
		return err
	}, kind: conn.KindTimeout, is: context.DeadlineExceeded, written: true, timeout: true, tries: 1},
	{name: "ended before", addr: silentServer, call: func(ctx context.Context, c *gtcp.Client) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := c.Call(ctx, []byte("x"))
		return err
	}, kind: conn.KindCanceled, is: context.Canceled, safe: true, tries: 1},
	{name: "peer closed", addr: func(t *testing.T) string {
		addr, _ := flakyServer(t, 100)
		return addr
	}, kind: conn.KindPeerClosed, is: io.EOF, written: true, tries: 1},
	{name: "oversize reply", addr: func(t *testing.T) string {
		return rawServer(t, func(c *net.TCPConn, _ int) {
			_, _ = io.ReadFull(c, make([]byte, 3))
			_, _ = c.Write([]byte("\x7f\xff"))
			_, _ = io.Copy(io.Discard, c)
		})
	}, config: gtcp.ClientConfig{Format: framing.Format{MaxSize: 100}}, kind: conn.KindProtocol, written: true, tries: 1},
	{name: "oversize request", addr: silentServer, call: func(ctx context.Context, c *gtcp.Client) error {
		_, err := c.CallWith(ctx, nil, make([]byte, 1<<16), gtcp.CallOptions{Idempotent: true})
		return err
	}, tries: 1},
	{name: "closed", addr: silentServer, call: func(ctx context.Context, c *gtcp.Client) error {
		_ = c.Close()
		_, err := c.CallWith(ctx, nil, []byte("x"), gtcp.CallOptions{Idempotent: true, Retry: &retry.Policy{}})
		return err
	}, kind: conn.KindClosed, is: net.ErrClosed, tries: 1},
}

// The same fault has the same error in both modes: setting Shared changes no
// error handling.
func TestClientErrorIsTheSameInBothModes(t *testing.T) {
	for _, test := range clientFaults {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, shared bool) {
				c, err := test.of(t, shared)
				require.IsType(t, &gtcp.CallError{}, err)
				var e *gtcp.CallError
				require.ErrorAs(t, err, &e)
				require.ErrorIs(t, err, errors.Unwrap(e))
				require.Equal(t, c.Addr(), e.Addr)
				if test.kind != "" {
					require.Equal(t, test.kind, e.Kind(), "%v", err)
				}
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
				require.Equal(t, test.written, e.Written, "%v", err)
				require.Equal(t, test.safe, retry.SafeToRetry(err), "%v", err)
				require.Equal(t, test.timeout, e.Timeout(), "%v", err)
				require.Equal(t, test.timeout, e.Temporary())
				require.Equal(t, test.tries, e.Attempts)
				require.NotEmpty(t, err.Error())
				var ofPool *pool.Error
				require.False(t, errors.As(err, &ofPool), "only one mode has this type")
				var ofPipeline *pipeline.Error
				require.False(t, errors.As(err, &ofPipeline), "only one mode has this type")

				s := c.Stat()
				require.NotZero(t, s.Calls)
				require.Equal(t, map[string]uint64{e.Kind(): 1}, s.Errors)
				require.EqualValues(t, max(test.tries, 1)-1, s.Retries)
			})
		})
	}
}

// A literal of a test of the user's has no layer, and may have no cause.
func TestCallErrorLiteral(t *testing.T) {
	require.Equal(t, "gtcp: call failed", (&gtcp.CallError{}).Error())
	e := &gtcp.CallError{Addr: "a:1", Written: true, Err: io.EOF}
	require.Equal(t, "gtcp: call a:1 (request written): EOF", e.Error())
	require.Equal(t, conn.KindPeerClosed, e.Kind())
	require.False(t, e.SafeToRetry())
	require.False(t, e.Timeout())
}

// Close ends calls in progress at once; Shutdown waits for them.
func TestClientCloseEndsCallsInProgress(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		begun := make(chan struct{}, 1)
		addr := rawServer(t, func(c *net.TCPConn, _ int) {
			_, _ = io.ReadFull(c, make([]byte, 3))
			begun <- struct{}{}
			_, _ = io.Copy(io.Discard, c)
		})
		c := client(t, addr, gtcp.ClientConfig{Shared: shared, Retry: retry.Policy{MaxAttempts: 1}})
		called := make(chan error, 1)
		go func() {
			_, err := c.Call(context.Background(), []byte("x"))
			called <- err
		}()
		<-begun
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, c.Shutdown(ctx), context.DeadlineExceeded)
		err := <-called
		require.Equal(t, conn.KindClosed, conn.KindOf(err), "%v", err)
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
	})
}

// A request that the server declines with its goodbye is made again on another
// connection, without being declared idempotent.
func TestClientGoodbye(t *testing.T) {
	for _, test := range []struct {
		name     string
		goodbyes int
		tries    int
	}{
		{"a restart", 1, 2},
		{"two restarts", 2, 3},
		{"for good", 100, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, shared bool) {
				addr := rawServer(t, func(c *net.TCPConn, n int) {
					frame := make([]byte, 3)
					if _, err := io.ReadFull(c, frame); err != nil {
						return
					}
					if n < test.goodbyes {
						_, _ = c.Write([]byte("\x00\x03bye"))
						return
					}
					_, _ = c.Write(frame)
					_, _ = io.Copy(io.Discard, c)
				})
				c := client(t, addr, gtcp.ClientConfig{
					Shared: shared, Goodbye: []byte("bye"), Retry: retry.Policy{Backoff: retry.Constant(0)},
					Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
				})
				dst := []byte("kept:")
				reply, err := c.AppendCall(t.Context(), dst, []byte("x"))
				require.LessOrEqual(t, c.Stat().Retries, uint64(test.tries-1), "a pipeline moves a call itself")
				if test.tries > test.goodbyes {
					require.NoError(t, err)
					require.Equal(t, "kept:x", string(reply))
					return
				}
				require.Equal(t, dst, reply)
				var e *gtcp.CallError
				require.ErrorAs(t, err, &e)
				require.True(t, e.Written)
				require.True(t, retry.SafeToRetry(err))
				require.Equal(t, conn.KindPeerClosed, e.Kind())
				require.ErrorIs(t, err, pipeline.ErrGoodbye)
				require.Zero(t, c.Stat().Pool.Idle)
			})
		})
	}
}
