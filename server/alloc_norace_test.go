//go:build !race

package server_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A request costs no memory: what serving needs is kept for the next one.
func TestServingAllocatesNothing(t *testing.T) {
	reply := make([]byte, 1000)
	for name, tc := range map[string]struct {
		handler  *server.FrameHandler
		requests []string
		most     float64
	}{
		"lone":      {handler: &server.FrameHandler{}, requests: []string{"one"}},
		"pipelined": {handler: &server.FrameHandler{}, requests: []string{"one", "two", "three"}},
		"append": {handler: &server.FrameHandler{Append: func(_ context.Context, dst, req []byte) ([]byte, error) {
			return append(append(dst, req...), reply...), nil
		}}, requests: []string{"one"}},
		"in an envelope": {handler: &server.FrameHandler{Envelope: true}, requests: []string{
			sealed(t, envelope.Envelope{Number: 1, Timeout: time.Hour, Method: []byte("m")}, "one"),
		}},
		"appended in an envelope": {handler: &server.FrameHandler{Envelope: true, Append: func(_ context.Context, dst, req []byte) ([]byte, error) {
			return append(append(dst, req...), reply...), nil
		}}, requests: []string{sealed(t, envelope.Envelope{}, "one")}},
		"concurrent": {handler: &server.FrameHandler{Concurrency: 4}, requests: []string{"one"}, most: 2}, // of the goroutine
	} {
		t.Run(name, func(t *testing.T) {
			h := tc.handler
			if h.Append == nil {
				h.Handle = func(_ context.Context, req []byte) ([]byte, error) { return req, nil }
			}
			h.ParkAfter = -1
			c := dial(t, start(t, &server.Server{Handler: h}))
			var wire []byte
			for _, r := range tc.requests {
				var err error
				wire, err = framing.Format{}.Append(wire, []byte(r))
				require.NoError(t, err)
			}
			read := 0
			_, err := c.Write(wire)
			require.NoError(t, err)
			for range tc.requests {
				got, err := c.r.Next()
				require.NoError(t, err)
				read += 2 + len(got)
			}
			in := make([]byte, read)
			got := testing.AllocsPerRun(500, func() {
				if _, err := c.Write(wire); err == nil {
					_, _ = io.ReadFull(c.Conn, in)
				}
			})
			require.LessOrEqual(t, got, tc.most)
		})
	}
}

// Nor does Send.
func TestSendAllocatesNothing(t *testing.T) {
	h, first := pushing(0)
	h.ParkAfter = -1
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send("subscribe")
	c.expect("subscribe")
	ctx := <-first
	payload, in := make([]byte, 1000), make([]byte, 1002)
	got := testing.AllocsPerRun(500, func() {
		if server.Send(ctx, payload) == nil {
			_, _ = io.ReadFull(c.Conn, in)
		}
	})
	require.Zero(t, got)
}
