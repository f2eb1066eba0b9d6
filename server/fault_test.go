package server_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/server"
)

// behind starts a server and a proxy in front of it that does f to each direction.
func behind(t *testing.T, s *server.Server, up, down faultproxy.Fault) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(start(t, s), func(int) faultproxy.Plan { return faultproxy.Plan{Up: up, Down: down} })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestFaultsThatOnlySlow(t *testing.T) {
	for name, f := range map[string]faultproxy.Fault{
		"split at every byte": {Chunk: 1},
		"delay":               {Chunk: 3, Delay: time.Millisecond, Jitter: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				h := &server.FrameHandler{Handle: script, Concurrency: n}
				c := dial(t, behind(t, &server.Server{Handler: h}, f, f).Addr())
				c.send("one", "", "two")
				c.expect("> one", "> ", "> two")
				c.send("three")
				c.expect("> three")
			})
		})
	}
}

// TestFaultsThatEnd cuts the client's stream at every offset of two requests, in
// each way: the server answers exactly the requests that arrived whole, then lets
// go of the connection, and serves the next.
func TestFaultsThatEnd(t *testing.T) {
	wire, err := framing.Format{}.Append(nil, []byte("first"))
	require.NoError(t, err)
	first := int64(len(wire))
	wire, err = framing.Format{}.Append(wire, []byte("second"))
	require.NoError(t, err)
	for name, end := range map[string]faultproxy.End{
		"truncate": faultproxy.Truncate, "half-close": faultproxy.HalfClose, "reset": faultproxy.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			s := &server.Server{Handler: &server.FrameHandler{Handle: script}}
			p := behind(t, s, faultproxy.Fault{}, faultproxy.Fault{})
			for at := range int64(len(wire)) + 1 {
				if at == 0 && end == faultproxy.Reset {
					continue // may strike before the server has accepted
				}
				p.SetPlan(func(int) faultproxy.Plan {
					return faultproxy.Plan{Up: faultproxy.Fault{End: end, After: at}}
				})
				c := dial(t, p.Addr())
				_, _ = c.Write(wire)
				got, _ := io.ReadAll(c)
				if end == faultproxy.HalfClose { // the only one that lets answers through
					require.Equal(t, answersTo(at, first, int64(len(wire))), string(got), "cut at %d", at)
				}
				_ = c.Close()
			}
			require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
			p.SetPlan(func(int) faultproxy.Plan { return faultproxy.Plan{} })
			c := dial(t, p.Addr())
			c.send("still there")
			c.expect("> still there")
		})
	}
}

// answersTo is what script answers to at bytes of the requests.
func answersTo(at, first, second int64) (wire string) {
	if at >= first {
		wire += "\x00\x07> first"
	}
	if at >= second {
		wire += "\x00\x08> second"
	}
	return wire
}

func TestFaultsAtRandom(t *testing.T) {
	h := &server.FrameHandler{Handle: script, Concurrency: 3}
	h.ReadTimeout, h.WriteTimeout, h.IdleTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	s := &server.Server{Handler: h}
	p, err := faultproxy.New(start(t, s), faultproxy.Random(1, faultproxy.Rates{
		Refuse: 0.1, Truncate: 0.2, HalfClose: 0.2, Reset: 0.2, Split: 0.5, Delay: 0.2, MaxBytes: 300,
	}))
	require.NoError(t, err)
	defer p.Close()
	for i := range 150 {
		nc, err := net.Dial("tcp", p.Addr())
		if err != nil {
			continue // refused, so early that the dial saw it
		}
		c := newClient(t, nc)
		for j := range 5 {
			want := fmt.Sprint("request ", i, " ", j)
			b, _ := framing.Format{}.Append(nil, []byte(want))
			if _, err := c.Write(b); err != nil {
				break
			}
			got, err := c.r.Next()
			if err != nil {
				break
			}
			require.Equal(t, "> "+want, string(got))
		}
		_ = c.Close()
	}
	require.NotZero(t, p.Counts().Faults())
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
	require.Zero(t, s.Stat().Panics)
	shutdown(t, s)
}
