package server_test

import (
	"context"
	"net"
	"testing"
	"time"

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

// panickingAccept is a hook that panics when it hears of an error of accept.
type panickingAccept struct{}

func (panickingAccept) AfterAcceptError(net.Addr, error) { panic("in a hook") }

func TestAcceptErrorHookThatPanics(t *testing.T) {
	log := &logbook{}
	r := &recorder{}
	s := &server.Server{Handler: echo(), Hooks: []any{panickingAccept{}, r}, Logger: log.logger()}
	l := memnet.Listen("server")
	startOn(t, s, l)
	l.FailAccept(temporary(true))
	l.FailAccept(temporary(true))
	require.Eventually(t, func() bool { return len(log.with("panic in a hook")) == 2 }, patience, time.Millisecond)
	requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
	require.Eventually(t, func() bool { return s.Stat().AcceptErrors == 2 }, patience, time.Millisecond)
	requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
	require.Len(t, r.accepts, 2)

	var quiet logbook // hooks that return are not logged
	other := &server.Server{Handler: echo(), Hooks: []any{r}, Logger: quiet.logger()}
	l = memnet.Listen("server")
	startOn(t, other, l)
	l.FailAccept(temporary(true))
	require.Eventually(t, func() bool { return other.Stat().AcceptErrors == 1 }, patience, time.Millisecond)
	requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
	require.Empty(t, quiet.with("hook"))
}
