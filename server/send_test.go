package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// pushing answers requests with themselves and gives away the context of the first.
func pushing(n int) (h *server.FrameHandler, first chan context.Context) {
	first = make(chan context.Context, 1)
	h = server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		if string(req) == "subscribe" {
			first <- ctx
		}
		return req, nil
	})
	h.Concurrency = n
	return h, first
}

// Frames sent from several goroutines while replies are written arrive whole, each
// once, and in the order of their goroutine.
func TestSendWhileRepliesAreWritten(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		const senders, each, requests = 4, 200, 500
		h, first := pushing(n)
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("subscribe")
		c.expect("subscribe")
		ctx := <-first
		failures := make(chan error, senders+1)
		for i := range senders {
			go func() {
				for k := range each {
					payload := fmt.Sprintf("push %d %d %s", i, k, strings.Repeat("x", k*100))
					if err := server.Send(ctx, []byte(payload)); err != nil {
						failures <- err
						return
					}
				}
				failures <- nil
			}()
		}
		go func() {
			w := framing.NewWriter(c.Conn, framing.Format{})
			for i := range requests {
				if err := w.WriteFrame(fmt.Append(nil, "reply ", i)); err != nil {
					failures <- err
					return
				}
				if i%7 == 0 {
					_ = w.Flush()
				}
			}
			failures <- w.Flush()
		}()
		var next [senders]int
		reply := 0
		for range senders*each + requests {
			got, err := c.r.Next()
			require.NoError(t, err)
			if strings.HasPrefix(string(got), "reply") {
				require.Equal(t, fmt.Sprint("reply ", reply), string(got))
				reply++
				continue
			}
			var i, k int
			_, err = fmt.Sscanf(string(got), "push %d %d", &i, &k)
			require.NoError(t, err)
			require.Equal(t, next[i], k)
			require.True(t, strings.HasSuffix(string(got), strings.Repeat("x", k*100)))
			next[i]++
		}
		for range senders + 1 {
			require.NoError(t, <-failures)
		}
	})
}

func TestSendErrors(t *testing.T) {
	err := server.Send(context.Background(), nil)
	require.ErrorIs(t, err, server.ErrNoFrames)

	h, first := pushing(0)
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send("subscribe")
	ctx := <-first

	var size *framing.SizeError
	require.ErrorAs(t, server.Send(ctx, make([]byte, 1<<16)), &size)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, server.Send(canceled, nil), context.Canceled)

	require.NoError(t, c.Close())
	<-ctx.Done()
	err = server.Send(ctx, nil)
	require.ErrorIs(t, err, net.ErrClosed)
	var se *server.SendError
	require.ErrorAs(t, err, &se)
	require.True(t, se.SafeToRetry())
	require.False(t, se.Timeout())
	require.Equal(t, conn.KindClosed, se.Kind())
	require.Contains(t, err.Error(), c.LocalAddr().String())
}

// A peer that does not read blocks Send, then costs it the connection.
func TestSendToAPeerThatDoesNotRead(t *testing.T) {
	h, first := pushing(0)
	h.WriteTimeout = 5 * time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x00\x09subscribe"))
		require.NoError(t, err)
		ctx := <-first
		_, err = io.ReadFull(nc, make([]byte, len("\x00\x09subscribe"))) // its reply is written
		require.NoError(t, err)
		began := time.Now()
		waiting := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			waiting <- server.Send(ctx, nil)
		}()
		for err == nil {
			err = server.Send(ctx, make([]byte, 10000))
		}
		var se *server.SendError
		require.ErrorAs(t, err, &se)
		require.True(t, se.Timeout())
		require.False(t, se.SafeToRetry())
		require.GreaterOrEqual(t, time.Since(began), 5*time.Second)
		require.ErrorIs(t, <-waiting, net.ErrClosed)
		require.EqualValues(t, 1, s.Stat().WriteTimeouts)
	})
}

// Nothing is sent behind the goodbye.
func TestSendAtShutdown(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h, first := pushing(n)
		h.Goodbye = []byte("goodbye")
		s := &server.Server{Handler: h}
		c := dial(t, start(t, s))
		c.send("subscribe")
		c.expect("subscribe")
		ctx := <-first
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for server.Send(ctx, []byte("push")) == nil {
				}
			})
		}
		c.expect("push")
		result := begin(t, s, t.Context())
		got := "push"
		for got == "push" {
			b, err := c.r.Next()
			require.NoError(t, err)
			got = string(b)
		}
		require.Equal(t, "goodbye", got)
		c.expectEnd()
		require.NoError(t, c.Close())
		wg.Wait()
		require.NoError(t, <-result)
	})
}

// Nothing is sent on a connection that has ended on this side and waits for its peer.
func TestSendOnALingeringConnection(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h, first := pushing(n)
		handle := h.Handle
		h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			if string(req) == "fail" {
				return nil, errors.New("failed")
			}
			return handle(ctx, req)
		}
		inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
			c := newClient(t, nc)
			c.send("subscribe")
			c.expect("subscribe")
			ctx := <-first
			require.NoError(t, server.Send(ctx, []byte("push")))
			c.expect("push")
			c.send("fail")
			c.expectEnd()
			require.Equal(t, 1, s.Stat().Handlers)
			require.ErrorIs(t, server.Send(ctx, []byte("push")), net.ErrClosed)
		})
	})
}
