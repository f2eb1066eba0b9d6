package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A request carries the seconds that its caller waits in its first byte, 0 for no
// limit, 255 for none left, and the seconds that its handler takes in the second.
func deadlines(n int) *server.FrameHandler {
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		select {
		case <-time.After(time.Duration(req[1]) * time.Second):
			return []byte("done"), nil
		case <-ctx.Done():
			return nil, errors.New("ended")
		}
	})
	h.Concurrency = n
	h.Deadline = func(req []byte) time.Duration {
		if req[0] == 255 {
			return -1
		}
		return time.Duration(req[0]) * time.Second
	}
	h.ErrorReply = func(_ context.Context, err error) []byte {
		if errors.Is(err, context.DeadlineExceeded) {
			return []byte("too late")
		}
		return []byte(err.Error())
	}
	return h
}

func TestDeadlineOfARequest(t *testing.T) {
	for _, hooks := range [][]any{nil, {&recorder{}}} {
		eachMode(t, func(t *testing.T, n int) {
			synctest.Test(t, func(t *testing.T) {
				nc, err := newMemServer(t, &server.Server{Handler: deadlines(n), Hooks: hooks}).Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				require.NoError(t, nc.SetDeadline(time.Time{}))
				began := time.Now()
				c.send("\x00\x05")
				c.expect("done")
				c.send("\x02\x09")
				c.expect("ended")
				require.Equal(t, 7*time.Second, time.Since(began))
				c.send("\xff\x09")
				c.expect("too late")
				require.Equal(t, 7*time.Second, time.Since(began))
			})
		})
	}
}

// A request whose time passes while it waits for its turn is not handled: behind
// another one of its connection, or for the Limiter.
func TestDeadlineThatPassesBeforeTheTurn(t *testing.T) {
	t.Run("behind another", func(t *testing.T) {
		inBubble(t, deadlines(0), func(t *testing.T, _ *server.Server, nc net.Conn) {
			c := newClient(t, nc)
			require.NoError(t, nc.SetDeadline(time.Time{}))
			began := time.Now()
			c.send("\x00\x05", "\x02\x09", "\x05\x09", "\x09\x01") // the third has no time left
			c.expect("done", "too late", "too late", "done")
			require.Equal(t, 6*time.Second, time.Since(began))
		})
	})
	t.Run("for the Limiter", func(t *testing.T) {
		h := deadlines(4)
		h.Limiter = &server.Limiter{Max: 1, MaxWait: time.Minute}
		inBubble(t, h, func(t *testing.T, _ *server.Server, nc net.Conn) {
			c := newClient(t, nc)
			require.NoError(t, nc.SetDeadline(time.Time{}))
			began := time.Now()
			c.send("\x00\x05")
			synctest.Wait() // it has its turn before the others
			c.send("\x02\x09", "\x09\x01")
			c.expect("done", "too late", "done")
			require.Equal(t, 6*time.Second, time.Since(began))
		})
	})
}

// A raw handler's reads have no deadline but its own, before and during Shutdown.
func TestRawHandlerHasNoDeadline(t *testing.T) {
	skipWithoutCloseRead(t)
	for name, early := range map[string]bool{"drained while it runs": false, "drained before": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := make(chan struct{})
				s := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
					line, err := c.ReadUntil(nil, []byte("\n"), 0)
					if err == nil {
						_, _ = c.Write(line)
					}
				})}
				s.ConnContext = func(ctx context.Context, _ *conn.Conn) context.Context {
					<-begun
					return ctx
				}
				nc, err := newMemServer(t, s).Dial(t.Context())
				require.NoError(t, err)
				if !early {
					close(begun)
				}
				time.Sleep(time.Hour)
				result := make(chan error, 1)
				go func() { result <- s.Shutdown(context.Background()) }()
				synctest.Wait()
				if early {
					close(begun)
				}
				time.Sleep(time.Hour)
				_, err = nc.Write([]byte("late\n"))
				require.NoError(t, err)
				got, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.Equal(t, "late\n", string(got))
				require.NoError(t, nc.Close())
				require.NoError(t, <-result)
			})
		})
	}
}

// The time counts from the arrival of the whole request.
func TestDeadlineOfARequestThatArrivesSlowly(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		inBubble(t, deadlines(n), func(t *testing.T, _ *server.Server, nc net.Conn) {
			c := newClient(t, nc)
			for _, part := range []string{"\x00\x02", "\x02", "\x01"} {
				_, err := c.Write([]byte(part))
				require.NoError(t, err)
				time.Sleep(3 * time.Second)
			}
			c.expect("done")
		})
	})
}

// The context of a request with a Deadline has the values of its hooks, and ends with
// its handler. One that is too late is observed too.
func TestDeadlineAndHooks(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := deadlines(n)
		handle := h.Handle
		contexts := make(chan context.Context, 1)
		h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			contexts <- ctx
			return handle(ctx, req)
		}
		r := &recorder{}
		s := &server.Server{Handler: h, Hooks: []any{r}}
		c := dial(t, start(t, s))
		c.send("\x09\x00", "\xff\x00")
		c.expect("done", "too late")
		ctx := <-contexts
		require.Equal(t, 1, ctx.Value(recorderKey{}))
		require.ErrorIs(t, ctx.Err(), context.Canceled, "although the connection is open")
		require.NoError(t, c.Close())
		shutdown(t, s)
		late := r.events[1]
		require.ErrorIs(t, late.Err, context.DeadlineExceeded)
		require.True(t, late.Refused)
		require.True(t, late.Replied)
		require.False(t, late.Panicked)
		require.Equal(t, len("too late"), late.ReplyBytes)
	})
}

// Without an ErrorReply a request that is too late ends its connection, as any error.
func TestDeadlineWithoutAnErrorReply(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := deadlines(n)
		h.ErrorReply = nil
		r := &recorder{}
		s := &server.Server{Handler: h, Hooks: []any{r}}
		c := dial(t, start(t, s))
		c.send("\x00\x00", "\xff\x00")
		c.expect("done")
		c.expectEnd()
		shutdown(t, s)
		require.False(t, r.events[1].Replied)
	})
}
