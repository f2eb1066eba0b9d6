package server_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestPanicLeavesTheOthersUntouched(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		log := &logbook{}
		s := &server.Server{Handler: &server.FrameHandler{Handle: script, Concurrency: n}, Logger: log.logger()}
		addr := start(t, s)
		var others []*client
		for range 99 {
			c := dial(t, addr)
			c.send("before")
			c.expect("> before")
			others = append(others, c)
		}
		c := dial(t, addr)
		c.send("a", "b", "panic at the disco", "c")
		c.expect("> a", "> b") // what was answered before is not lost
		c.expectEnd()
		for _, o := range others {
			o.send("after")
			o.expect("> after")
		}
		log.requireOne(t, "panic in a handler", "at the disco", "frames_test.go", c.LocalAddr().String())
		require.EqualValues(t, 1, s.Stat().Panics)
	})
}

func TestPanicOfARawHandler(t *testing.T) {
	log := &logbook{}
	s := &server.Server{KeepOpen: true, Logger: log.logger()}
	s.Handler = server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_, _ = c.Write([]byte("x"))
		panic("raw")
	})
	c := dial(t, start(t, s))
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	log.requireOne(t, "panic in a handler", "panic=raw", "panic_test.go", c.LocalAddr().String())
	require.Eventually(t, func() bool { return s.Stat().Open == 0 }, patience, time.Millisecond)
}
