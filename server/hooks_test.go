package server_test

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestConnState(t *testing.T) {
	var mu sync.Mutex
	var states []string
	s := &server.Server{Handler: echo()}
	s.ConnState = func(c *conn.Conn, state server.State) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, state.String())
	}
	want := func(expected ...string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(expected, states)
		}
	}
	c := dial(t, start(t, s))
	require.Eventually(t, want("new", "idle"), patience, time.Millisecond)
	c.send("a")
	c.expect("a")
	require.Eventually(t, want("new", "idle", "active", "idle"), patience, time.Millisecond)
	require.NoError(t, c.Close())
	require.Eventually(t, want("new", "idle", "active", "idle", "closed"), patience, time.Millisecond)
	require.Equal(t, "unknown", server.State(99).String())
}

func TestConnContext(t *testing.T) {
	type key struct{}
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		if server.ConnFromContext(ctx).RemoteAddr() == nil {
			return nil, server.ErrNoReply
		}
		return []byte(ctx.Value(key{}).(string)), nil
	})
	s := &server.Server{Handler: h, MaxConns: 1}
	s.ConnContext = func(ctx context.Context, c *conn.Conn) context.Context {
		return context.WithValue(ctx, key{}, "from "+c.RemoteAddr().String())
	}
	c := dial(t, start(t, s))
	c.send("who")
	c.expect("from " + c.LocalAddr().String())
	require.Nil(t, server.ConnFromContext(context.Background()))
}

func TestConnContextRefuses(t *testing.T) {
	s := &server.Server{Handler: echo()}
	s.ConnContext = func(context.Context, *conn.Conn) context.Context { return nil }
	requireRefused(t, dial(t, start(t, s)))
}

// TestHandlerContextEnds covers each way a handler's context ends, and each way
// to hear of it.
func TestHandlerContextEnds(t *testing.T) {
	for name, end := range map[string]func(*server.Server, *conn.Conn){
		"connection closed": func(_ *server.Server, c *conn.Conn) { _ = c.Close() },
		"server closed":     func(s *server.Server, _ *conn.Conn) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			contexts, conns := make(chan context.Context), make(chan *conn.Conn)
			s := &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
				contexts <- ctx
				conns <- c
				<-ctx.Done()
				contexts <- ctx
			})}
			dial(t, start(t, s))
			ctx, c := <-contexts, <-conns
			_, limited := ctx.Deadline()
			require.False(t, limited)
			require.NoError(t, ctx.Err())
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			called := make(chan struct{})
			context.AfterFunc(ctx, func() { close(called) })
			stop := context.AfterFunc(ctx, func() { t.Error("it was stopped") })
			require.True(t, stop())
			require.False(t, stop())

			end(s, c)
			require.ErrorIs(t, (<-contexts).Err(), context.Canceled)
			<-derived.Done()
			<-called
			late := make(chan struct{})
			require.False(t, context.AfterFunc(ctx, func() { close(late) })())
			<-late
		})
	}
}

func TestContextOfAnEndedConnection(t *testing.T) {
	kept := make(chan context.Context, 1)
	s := &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, _ *conn.Conn) { kept <- ctx })}
	_, err := io.ReadAll(dial(t, start(t, s)))
	require.NoError(t, err)
	ctx := <-kept
	require.Eventually(t, func() bool { return ctx.Err() != nil }, patience, time.Millisecond)
	<-ctx.Done() // asked for only now
}

func TestDefaultLogger(t *testing.T) {
	s := &server.Server{Handler: server.HandlerFunc(func(context.Context, *conn.Conn) {})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	_, err = io.ReadAll(dial(t, l.Addr().String()))
	require.NoError(t, err)
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
}

// lateParent is a handler's context as a derived one sees it that asked just
// before its end whether it had ended, and hangs itself on it just after.
type lateParent struct{ context.Context }

func (lateParent) Done() <-chan struct{} { return make(chan struct{}) }

func (p lateParent) AfterFunc(f func()) func() bool {
	return p.Context.(interface{ AfterFunc(func()) func() bool }).AfterFunc(f)
}

func TestContextDerivedAsTheConnectionEnds(t *testing.T) {
	kept := make(chan context.Context, 1)
	s := &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, _ *conn.Conn) { kept <- ctx })}
	dial(t, start(t, s))
	ctx := <-kept
	<-ctx.Done()
	derived := make(chan context.Context, 1)
	go func() {
		child, cancel := context.WithCancel(lateParent{ctx})
		defer cancel()
		<-child.Done()
		derived <- child
	}()
	select {
	case child := <-derived:
		require.ErrorIs(t, child.Err(), context.Canceled)
	case <-time.After(patience):
		t.Fatal("deriving a context did not return")
	}
}

// registry is a context that counts the functions hung on its end.
type registry struct {
	context.Context
	hung atomic.Int32
}

func (r *registry) AfterFunc(func()) func() bool {
	r.hung.Add(1)
	return func() bool { r.hung.Add(-1); return true }
}

// ServeConn outside a Server leaves nothing with its context, which may live for ever.
func TestServeConnAloneLeavesNothingBehind(t *testing.T) {
	near, far := tcpPair(t)
	inner, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := &registry{Context: ownDone{inner}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo().ServeConn(ctx, conn.New(far))
	}()
	c := newClient(t, near)
	c.send("a")
	c.expect("a")
	require.EqualValues(t, 1, ctx.hung.Load())
	require.NoError(t, c.Close())
	<-done
	require.Zero(t, ctx.hung.Load())
}

// ownDone hides that a context is one of package context's.
type ownDone struct{ context.Context }

func (ownDone) Value(any) any { return nil }
