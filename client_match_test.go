package gtcp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// number is where the tests' frames carry their number.
var number = pipeline.Number{Size: 2}

// numbered is a frame's payload: a number and a text.
func numbered(n uint16, text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, n), text...)
}

// A caller sees its own number in the reply, in whatever order replies come.
func TestClientMatch(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		h := &server.FrameHandler{Concurrency: 16, Unordered: true, Handle: func(_ context.Context, req []byte) ([]byte, error) {
			for range rand.N(200) { // some take longer than others
				_ = fmt.Sprint(req)
			}
			return append([]byte(nil), req...), nil
		}}
		srv := &server.Server{Handler: h}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		t.Cleanup(func() {
			_ = srv.Close()
			<-served
		})
		c := client(t, l.Addr().String(), gtcp.ClientConfig{Shared: shared, Match: number})
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				for j := range 50 {
					req := numbered(7, fmt.Sprintf("%d/%d", i, j)) // all have the same number
					reply, err := c.AppendCall(t.Context(), []byte("kept:"), req)
					if err != nil || string(reply) != "kept:"+string(req) {
						t.Errorf("asked %q, got %q, %v", req, reply, err)
						return
					}
					if string(req[:2]) != "\x00\x07" {
						t.Error("the request was changed")
					}
				}
			})
		}
		callers.Wait()
	})
}

// A reply with another number is nobody's, and ends its connection.
func TestClientMatchWrongNumber(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		var wrong atomic.Bool
		wrong.Store(true)
		addr := frameServer(t, func(_ context.Context, req []byte) ([]byte, error) {
			if wrong.Swap(false) {
				req[0] ^= 0x80
			}
			return req, nil
		})
		c := client(t, addr, gtcp.ClientConfig{Shared: shared, Match: number, Retry: retry.Policy{MaxAttempts: 1},
			Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}}})
		_, err := c.Call(t.Context(), numbered(1, "x"))
		require.ErrorIs(t, err, pipeline.ErrUnsolicited)
		require.Equal(t, conn.KindProtocol, conn.KindOf(err))
		require.False(t, retry.SafeToRetry(err))
		reply, err := c.Call(t.Context(), numbered(2, "y"))
		require.NoError(t, err)
		require.Equal(t, numbered(2, "y"), reply)
		s := c.Stat()
		require.EqualValues(t, 2, s.Pool.Dials+s.Pipeline.Dials)
	})
}

// A request without room for the number is refused, once, and not written.
func TestClientMatchNoRoom(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, silentServer(t), gtcp.ClientConfig{Shared: shared, Match: number})
		_, err := c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true})
		var e *gtcp.CallError
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, pipeline.ErrNoNumber)
		require.False(t, e.Written)
		require.False(t, retry.SafeToRetry(err))
		require.Equal(t, 1, e.Attempts)
	})
}

// What the peer sends on its own reaches OnPush of a shared client.
func TestClientPush(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		frame, _ := framing.Format{}.Append(nil, numbered(0, "news"))
		_, _ = c.Write(frame)
		_, _ = io.Copy(c, c)
	})
	pushes := make(chan string, 1)
	c := client(t, addr, gtcp.ClientConfig{Shared: true, Match: number, Pipeline: pipeline.Config{
		OnPush: func(_ context.Context, p *pipeline.Push) { pushes <- string(p.Frame) },
	}})
	reply, err := c.Call(t.Context(), numbered(3, "x"))
	require.NoError(t, err)
	require.Equal(t, numbered(3, "x"), reply)
	require.Equal(t, string(numbered(0, "news")), <-pushes)
}

// fragile is a Matcher that panics over a frame that begins with "!".
type fragile struct{ pipeline.Number }

func (m fragile) Get(frame []byte) (uint64, bool) {
	if frame[0] == '!' {
		panic("fragile")
	}
	return m.Number.Get(frame)
}

// A connection on which a Matcher panicked is not used again: the reply may still come.
func TestClientMatcherThatPanics(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			_, _ = framing.NewReader(c, framing.Format{}).Next()
			frame, _ := framing.Format{}.Append(nil, []byte("!"))
			_, _ = c.Write(frame)
			_, _ = io.Copy(io.Discard, c)
			return
		}
		_, _ = io.Copy(c, c)
	})
	c := client(t, addr, gtcp.ClientConfig{Match: fragile{number}})
	require.PanicsWithValue(t, "fragile", func() { _, _ = c.Call(t.Context(), numbered(1, "x")) })
	require.Zero(t, c.Stat().Pool.Idle)
	reply, err := c.Call(t.Context(), numbered(2, "y"))
	require.NoError(t, err)
	require.Equal(t, numbered(2, "y"), reply)
}
