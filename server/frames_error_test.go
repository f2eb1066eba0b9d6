package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// toNumber is an ErrorReplyTo of a protocol whose messages begin with a number.
func toNumber(_ context.Context, req []byte, err error) []byte {
	if len(req) == 0 {
		return []byte("?")
	}
	return append(req[:1:1], " "+err.Error()...)
}

// A Limiter's refusal has the number of the request that it refuses, in whatever
// order the replies are sent.
func TestErrorReplyToARefusal(t *testing.T) {
	for name, h := range map[string]*server.FrameHandler{
		"one at a time": {},
		"in order":      {Concurrency: 4},
		"unordered":     {Concurrency: 4, Unordered: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				let := make(chan struct{})
				h.Handle = func(_ context.Context, req []byte) ([]byte, error) {
					<-let
					return req, nil
				}
				h.ErrorReplyTo = toNumber
				h.Limiter = &server.Limiter{Max: 1, MaxWait: time.Second}
				l := memnet.Listen("server")
				startOn(t, &server.Server{Handler: h}, l)
				dialed := func() *client {
					nc, err := l.Dial(t.Context())
					require.NoError(t, err)
					return newClient(t, nc)
				}
				busy, c := dialed(), dialed()
				busy.send("0")
				synctest.Wait()
				c.send("1")
				time.Sleep(time.Second / 2)
				c.send("2")
				time.Sleep(3 * time.Second)
				c.expect("1 "+server.ErrOverloaded.Error(), "2 "+server.ErrOverloaded.Error())
				close(let)
				busy.expect("0")
			})
		})
	}
}

// The reply to each kind of failure that has a request, and to one that has none.
func TestErrorReplyTo(t *testing.T) {
	for _, n := range []int{0, 4} {
		t.Run(fmt.Sprintf("concurrency %d", n), func(t *testing.T) {
			s := &server.Server{Handler: &server.FrameHandler{
				Concurrency: n, ErrorReplyTo: toNumber, Format: framing.Format{MaxSize: 100, SkipOversize: true},
				Deadline: func(req []byte) time.Duration {
					if string(req) == "2late" {
						return -1
					}
					return 0
				},
				Handle: func(_ context.Context, req []byte) ([]byte, error) {
					switch string(req) {
					case "1fails":
						return nil, errors.New("failed")
					case "3one-way":
						return nil, server.ErrNoReply
					}
					return req, nil
				},
			}}
			c := dial(t, start(t, s))
			c.send("1fails", "2late", "3one-way", string(make([]byte, 101)), "4")
			c.expect("1 failed", "2 "+context.DeadlineExceeded.Error(), "?", "4")
		})
	}
}

// A handler on its own is called on a short way of its own.
func TestErrorReplyToOfAHandlerAlone(t *testing.T) {
	fails := func(_ context.Context, req []byte) error {
		if req[0]%2 == 1 {
			return errors.New("failed")
		}
		return nil
	}
	for name, h := range map[string]*server.FrameHandler{
		"Handle": {Handle: func(ctx context.Context, req []byte) ([]byte, error) { return req, fails(ctx, req) }},
		"Append": {Append: func(ctx context.Context, dst, req []byte) ([]byte, error) {
			return append(dst, req...), fails(ctx, req)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h.ErrorReplyTo = toNumber
			c := dial(t, start(t, &server.Server{Handler: h}))
			c.send("1", "2", "3x")
			c.expect("1 failed", "2", "3 failed")
		})
	}
}

// With envelopes it makes the payload of the reply, and gets that of the request.
func TestErrorReplyToWithEnvelope(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		h.ErrorReplyTo = toNumber
		h.Handle = func(context.Context, []byte) ([]byte, error) {
			return nil, &envelope.StatusError{Status: 20}
		}
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send(sealed(t, envelope.Envelope{Number: 7}, "1x"))
		c.expect(sealed(t, envelope.Envelope{Number: 7, Status: 20}, "1 envelope: status 20"))
	})
}

func TestErrorReplyTwice(t *testing.T) {
	h := &server.FrameHandler{
		Handle:     func(context.Context, []byte) ([]byte, error) { return nil, nil },
		ErrorReply: overloaded, ErrorReplyTo: toNumber,
	}
	require.EqualError(t, h.Validate(), "server: FrameHandler has both ErrorReply and ErrorReplyTo")
}
