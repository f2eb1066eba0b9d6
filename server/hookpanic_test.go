package server_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A hook that panics does so on goroutines that no handler's guard is around: it
// must cost its connection, not the process.
func TestConnStatePanicsAtClose(t *testing.T) {
	l := memnet.Listen("server")
	s := &server.Server{
		Handler: server.HandlerFunc(func(context.Context, *conn.Conn) {}),
		Logger:  (&logbook{}).logger(),
		ConnState: func(_ *conn.Conn, st server.State) {
			if st == server.StateClosed {
				panic("hook")
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dialFrom(t, l, tcpAddr("192.0.2.1"))
	_, _ = c.Read(make([]byte, 1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	require.Equal(t, uint64(1), s.Stat().Panics)
	require.Zero(t, s.Stat().Open)
}

// A connection that a hook has closed, or panicked for, gets no handler.
func TestConnStateEndsAConnectionAtItsBeginning(t *testing.T) {
	for name, hook := range map[string]func(c *conn.Conn){
		"panic": func(*conn.Conn) { panic("hook") },
		"close": func(c *conn.Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			l := memnet.Listen("server")
			handled := false
			s := &server.Server{
				Handler: server.HandlerFunc(func(context.Context, *conn.Conn) { handled = true }),
				Logger:  (&logbook{}).logger(),
				ConnState: func(c *conn.Conn, st server.State) {
					if st == server.StateNew {
						hook(c)
					}
				},
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			c := dialFrom(t, l, tcpAddr("192.0.2.1"))
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.NoError(t, s.Shutdown(ctx))
			require.ErrorIs(t, <-served, server.ErrServerClosed)
			require.False(t, handled)
		})
	}
}

// panickingTwice is a hook that panics when it hears of a panic.
type panickingTwice struct{}

func (panickingTwice) AfterPanic(uint64, any, []byte) { panic("in a hook") }

func TestPanicHookThatPanics(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		r := &recorder{}
		s := &server.Server{Handler: &server.FrameHandler{Handle: script, Concurrency: n}, Hooks: []any{panickingTwice{}, r}}
		addr := start(t, s)
		c := dial(t, addr)
		c.send("a", "panic on purpose")
		c.expect("> a")
		c.expectEnd()
		require.EqualValues(t, 1, s.Stat().Panics)
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Equal(t, []any{"on purpose"}, r.panics)
	})
}
