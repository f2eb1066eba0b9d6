package server_test

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// TestConnStateInOrder closes a connection while the hook is told of another
// state: the hook hears of the end after that, and of one state at a time.
func TestConnStateInOrder(t *testing.T) {
	for last, want := range map[server.State][]string{
		server.StateNew:    {"new", "closed"},
		server.StateIdle:   {"new", "idle", "closed"},
		server.StateActive: {"new", "idle", "active", "closed"},
	} {
		t.Run(last.String(), func(t *testing.T) {
			var mu sync.Mutex
			var states []string
			entered, let := make(chan struct{}), make(chan struct{})
			s := &server.Server{Handler: echo()}
			s.ConnState = func(_ *conn.Conn, state server.State) {
				if state == last {
					close(entered)
					<-let
				}
				mu.Lock()
				defer mu.Unlock()
				states = append(states, state.String())
			}
			c := dial(t, start(t, s))
			c.send("a")
			<-entered
			require.NoError(t, s.Close())
			close(let)
			shutdown(t, s)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, want, states)
		})
	}
}

// A hook that panics has the connection closed even where it would be kept.
func TestConnStateThatPanicsOnAKeptConnection(t *testing.T) {
	s := &server.Server{KeepOpen: true, Handler: server.HandlerFunc(func(context.Context, *conn.Conn) {})}
	s.ConnState = func(_ *conn.Conn, state server.State) {
		if state == server.StateIdle {
			panic("in a hook")
		}
	}
	_, err := io.ReadAll(dial(t, start(t, s)))
	require.NoError(t, err)
}

func TestConnStateThatPanics(t *testing.T) {
	var mu sync.Mutex
	var states []string
	s := &server.Server{Handler: echo()}
	s.ConnState = func(_ *conn.Conn, state server.State) {
		mu.Lock()
		states = append(states, state.String())
		mu.Unlock()
		if state == server.StateActive {
			panic("in a hook")
		}
	}
	log := &logbook{}
	s.Logger = log.logger()
	c := dial(t, start(t, s))
	c.send("a")
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Equal([]string{"new", "idle", "active", "closed"}, states)
	}, patience, time.Millisecond)
	require.EqualValues(t, 1, s.Stat().Panics)
	log.requireOne(t, "panic", "in a hook", c.LocalAddr().String())
}

// What is noted while a hook is told of another state is told, whatever becomes of the
// goroutine that was in the hook.
func TestConnStateThatIsEndedTellsTheRest(t *testing.T) {
	for name, end := range map[string]func(){"panics": func() { panic("in a hook") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var states []string
			entered, let := make(chan struct{}), make(chan struct{})
			s := &server.Server{Handler: echo()}
			s.ConnState = func(_ *conn.Conn, state server.State) {
				mu.Lock()
				states = append(states, state.String())
				mu.Unlock()
				if state == server.StateIdle {
					close(entered)
					<-let
					end()
				}
			}
			dial(t, start(t, s))
			<-entered
			require.NoError(t, s.Close())
			close(let)
			shutdown(t, s)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, []string{"new", "idle", "closed"}, states)
		})
	}
}
