package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A request whose caller's time passes while it waits for its turn behind another one
// is not handled; one with time left is.
func TestEnvelopeWhoseTimePassesBeforeItsTurn(t *testing.T) {
	var handled []string
	h := &server.FrameHandler{Envelope: true, Handle: func(_ context.Context, req []byte) ([]byte, error) {
		handled = append(handled, string(req))
		time.Sleep(2 * time.Second)
		return req, nil
	}}
	inBubble(t, h, func(t *testing.T, _ *server.Server, nc net.Conn) {
		c := newClient(t, nc)
		c.send(
			sealed(t, envelope.Envelope{Number: 1, Timeout: time.Minute}, "a"),
			sealed(t, envelope.Envelope{Number: 2, Timeout: time.Second}, "b"),
			sealed(t, envelope.Envelope{Number: 3, Timeout: 3 * time.Second}, "c"),
			sealed(t, envelope.Envelope{Number: 4, Timeout: 3 * time.Second}, "d"),
		)
		c.expect(
			sealed(t, envelope.Envelope{Number: 1}, "a"),
			sealed(t, envelope.Envelope{Number: 2, Status: envelope.StatusTooLate}, ""),
			sealed(t, envelope.Envelope{Number: 3}, "c"),
			sealed(t, envelope.Envelope{Number: 4, Status: envelope.StatusTooLate}, ""),
		)
		require.Equal(t, []string{"a", "c"}, handled)
	})
}

// The statuses of errors: the end of the caller's time is only that error's, where the
// time has passed.
func TestEnvelopeStatusOfAnError(t *testing.T) {
	failed := errors.New("failed")
	for name, tc := range map[string]struct {
		err    error
		waits  time.Duration // until the handler returns
		status uint32
	}{
		"the caller's time":          {context.DeadlineExceeded, 2 * time.Second, envelope.StatusTimeout},
		"a time of the handler's":    {context.DeadlineExceeded, 0, envelope.StatusFailed},
		"another one, then too late": {failed, 2 * time.Second, envelope.StatusFailed},
		"another one":                {failed, 0, envelope.StatusFailed},
		"an OK that is an error":     {&envelope.StatusError{Status: envelope.StatusOK}, 0, envelope.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
				h.Handle = func(context.Context, []byte) ([]byte, error) {
					time.Sleep(tc.waits)
					return nil, tc.err
				}
				inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
					c := newClient(t, nc)
					c.send(sealed(t, envelope.Envelope{Number: 1, Timeout: time.Second}, "x"))
					got, err := c.r.Next()
					require.NoError(t, err)
					var e envelope.Envelope
					_, err = e.Parse(got)
					require.NoError(t, err)
					require.Equal(t, tc.status, e.Status)
					require.Empty(t, e.Message)
				})
			})
		})
	}
}

// An error that is no status is logged.
func TestLogOfAnErrorBehindAnEnvelope(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		h.Handle = func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no such thing") }
		log := &logbook{}
		c := dial(t, start(t, &server.Server{Handler: h, Logger: log.logger()}))
		c.send(sealed(t, envelope.Envelope{}, "x"))
		c.expect(sealed(t, envelope.Envelope{Status: envelope.StatusFailed}, ""))
		log.requireOne(t, "handler failed", "no such thing", c.LocalAddr().String())
	})
}

// The context of a request has the values of the hooks and ends with its handler, and
// the hooks hear which requests got a reply.
func TestEnvelopeContextAndHooks(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		contexts := make(chan context.Context, 2)
		h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			contexts <- ctx
			if string(req) == "one-way" {
				return nil, server.ErrNoReply
			}
			return req, nil
		}
		r := &recorder{}
		s := &server.Server{Handler: h, Hooks: []any{r}}
		c := dial(t, start(t, s))
		e := envelope.Envelope{Timeout: time.Hour}
		c.send(sealed(t, e, "a"))
		c.expect(sealed(t, envelope.Envelope{}, "a"))
		ctx := <-contexts
		require.Equal(t, 1, ctx.Value(recorderKey{}))
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		c.send(sealed(t, e, "one-way"))
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		c.expectEnd()
		_ = c.Close()
		shutdown(t, s)
		require.Equal(t, 2, (<-contexts).Value(recorderKey{}))
		require.True(t, r.events[0].Replied)
		require.False(t, r.events[1].Replied)
	})
}

// What is no envelope destroys no reply before it, although the peer goes on sending.
func TestHostileEnvelopeDestroysNoReply(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		reply := make([]byte, 300<<10)
		h.Format = framing.Format{HeaderSize: 4}
		h.Handle = func(context.Context, []byte) ([]byte, error) { return reply, nil }
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		l := tellingListener{inner, make(chan struct{}, 1)}
		startOn(t, &server.Server{Handler: h}, l)
		c := dial(t, inner.Addr().String())
		good := sealed(t, envelope.Envelope{}, "x")
		wire, err := h.Format.Append(nil, []byte(good))
		require.NoError(t, err)
		wire, err = h.Format.Append(wire, []byte("none"))
		require.NoError(t, err)
		_, err = c.Write(wire)
		require.NoError(t, err)
		<-l.ended
		_, err = c.Write([]byte("more"))
		require.NoError(t, err)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, got, 4+envelope.MinSize+len(reply))
	})
}

// The goodbye of a FrameHandler comes before that of the envelope.
func TestGoodbyeOfAnEnvelope(t *testing.T) {
	for name, own := range map[string][]byte{"default": nil, "own": []byte(sealed(t, envelope.Envelope{Push: true}, "bye"))} {
		t.Run(name, func(t *testing.T) {
			h := &server.FrameHandler{Envelope: true, Goodbye: own, Handle: script}
			s := &server.Server{Handler: h}
			c := dial(t, start(t, s))
			c.send(sealed(t, envelope.Envelope{}, "a"))
			c.expect(sealed(t, envelope.Envelope{}, "> a"))
			result := begin(t, s, context.Background())
			want := string(envelope.Goodbye())
			if own != nil {
				want = string(own)
			}
			c.expect(want)
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		})
	}
}
