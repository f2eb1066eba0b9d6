package server_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

func TestErrorReplyThatPanics(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		log := &logbook{}
		h := &server.FrameHandler{Handle: script, Concurrency: n}
		h.ErrorReply = func(_ context.Context, err error) []byte { panic(err) }
		s := &server.Server{Handler: h, Logger: log.logger()}
		c := dial(t, start(t, s))
		c.send("a", "fail badly", "b")
		c.expect("> a")
		c.expectEnd()
		log.requireOne(t, "panic in a handler", "badly", c.LocalAddr().String())
		require.EqualValues(t, 1, s.Stat().Panics)
	})
}

// TestAppendMayReturnAnotherSlice has Append return the request, and a constant,
// in place of what it was given: neither may become somebody's dst.
func TestAppendMayReturnAnotherSlice(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		constant := []byte("constant, and longer than the rest")
		h := &server.FrameHandler{Concurrency: n}
		h.Append = func(_ context.Context, dst, req []byte) ([]byte, error) {
			switch string(req) {
			case "constant":
				return constant, nil
			case "request, returned as it is":
				return req, nil
			}
			return append(append(dst, "> "...), req...), nil
		}
		c := dial(t, start(t, &server.Server{Handler: h}))
		for range 10 {
			c.send("constant", "a", "request, returned as it is", "b", "c")
			c.expect("constant, and longer than the rest", "> a", "request, returned as it is", "> b", "> c")
		}
	})
}
