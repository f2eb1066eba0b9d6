package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// script is a handler whose request says what to do.
func script(_ context.Context, req []byte) ([]byte, error) {
	verb, rest, _ := strings.Cut(string(req), " ")
	switch verb {
	case "fail":
		return nil, errors.New(rest)
	case "quiet":
		return nil, server.ErrNoReply
	case "huge":
		return make([]byte, 1<<16), nil
	case "panic":
		panic(rest)
	}
	return []byte("> " + string(req)), nil
}

// eachMode runs f with requests handled one after another and concurrently.
func eachMode(t *testing.T, f func(t *testing.T, concurrency int)) {
	for name, n := range map[string]int{"serial": 0, "concurrent": 4} {
		t.Run(name, func(t *testing.T) { f(t, n) })
	}
}

func TestEmptyAndMissingReplies(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := &server.FrameHandler{Handle: script, Concurrency: n}
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("a", "quiet", "", "b")
		c.expect("> a", "> ", "> b")
	})
}

func TestHandlerErrorCloses(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		log := &logbook{}
		s := &server.Server{Handler: &server.FrameHandler{Handle: script, Concurrency: n}, Logger: log.logger()}
		c := dial(t, start(t, s))
		c.send("a", "b", "fail no such thing", "c")
		c.expect("> a", "> b")
		c.expectEnd()
		log.requireOne(t, "handler failed", "no such thing", c.LocalAddr().String())
	})
}

func TestHandlerErrorAnswers(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := &server.FrameHandler{Handle: script, Concurrency: n}
		h.ErrorReply = func(_ context.Context, err error) []byte {
			if err.Error() == "fatal" {
				return nil
			}
			return []byte("error: " + err.Error())
		}
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("a", "fail soft", "b", "fail fatal", "c")
		c.expect("> a", "error: soft", "> b")
		c.expectEnd()
	})
}

func TestReplyTooLargeCloses(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		log := &logbook{}
		s := &server.Server{Handler: &server.FrameHandler{Handle: script, Concurrency: n}, Logger: log.logger()}
		c := dial(t, start(t, s))
		c.send("a", "huge", "b")
		c.expect("> a")
		c.expectEnd()
		log.requireOne(t, "reply refused", "65536", c.LocalAddr().String())
	})
}

func TestOversizeRequest(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		log := &logbook{}
		h := &server.FrameHandler{Handle: script, Concurrency: n, Format: framing.Format{MaxSize: 10}}
		h.ErrorReply = func(context.Context, error) []byte { return []byte("no reply without SkipOversize") }
		s := &server.Server{Handler: h, Logger: log.logger()}
		addr := start(t, s)
		other := dial(t, addr)
		other.send("x")
		other.expect("> x")

		c := dial(t, addr)
		c.send("a", strings.Repeat("y", 2000), "b")
		c.expect("> a")
		c.expectEnd()
		log.requireOne(t, "request too large", "size=2000", "limit=10", c.LocalAddr().String())
		require.EqualValues(t, 1, s.Stat().Oversize)

		other.send("z")
		other.expect("> z")
	})
}

func TestOversizeRequestSkipped(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := &server.FrameHandler{Handle: script, Concurrency: n}
		h.Format = framing.Format{MaxSize: 10, SkipOversize: true}
		h.ErrorReply = func(_ context.Context, err error) []byte {
			var size *framing.SizeError
			if !errors.As(err, &size) {
				return nil
			}
			return fmt.Appendf(nil, "%d > %d", size.Size, size.Limit)
		}
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("a", strings.Repeat("y", 60000), "b")
		c.expect("> a", "60000 > 10", "> b")
	})
}

func TestMalformedRequest(t *testing.T) {
	log := &logbook{}
	h := &server.FrameHandler{Handle: script, Format: framing.Format{HeaderSize: framing.Varint}}
	s := &server.Server{Handler: h, Logger: log.logger()}
	c := dial(t, start(t, s))
	_, err := c.Write([]byte(strings.Repeat("\xff", 11)))
	require.NoError(t, err)
	c.expectEnd()
	log.requireOne(t, "malformed request", c.LocalAddr().String())
}

func TestAppendReusesItsBuffer(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := &server.FrameHandler{Concurrency: n}
		h.Append = func(_ context.Context, dst, req []byte) ([]byte, error) {
			if len(dst) != 0 {
				return nil, errors.New("dst is not empty")
			}
			return append(append(dst, "> "...), req...), nil
		}
		c := dial(t, start(t, &server.Server{Handler: h}))
		for i := range 50 {
			a, b := fmt.Sprint("a", i), strings.Repeat("b", 100*i)
			c.send(a, b)
			c.expect("> "+a, "> "+b)
		}
	})
}

func TestLargeFrames(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := echo()
		h.Concurrency = n
		c := dial(t, start(t, &server.Server{Handler: h}))
		large := strings.Repeat("0123456789abcde", 4300)
		go func() {
			for range 20 {
				b, _ := framing.Format{}.Append(nil, []byte(large))
				_, _ = c.Write(b)
			}
		}()
		for range 20 {
			c.expect(large)
		}
	})
}

func TestFramesLargerThanTheBuffer(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		format := framing.Format{HeaderSize: 4}
		h := echo()
		h.Format, h.Concurrency = format, n
		c := dial(t, start(t, &server.Server{Handler: h}))
		r := framing.NewReader(c, format)
		for _, size := range []int{1 << 20, 3, 65 << 10, 0} {
			wire, err := format.Append(nil, make([]byte, size))
			require.NoError(t, err)
			go func() { _, _ = c.Write(wire) }()
			got, err := r.Next()
			require.NoError(t, err)
			require.Len(t, got, size)
		}
	})
}

func TestConcurrentAnswersKeepTheirOrder(t *testing.T) {
	const n = 8
	var gates [n]chan struct{}
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	entered := make(chan byte, n)
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		entered <- req[0]
		<-gates[req[0]]
		return req, nil
	})
	h.Concurrency = n
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	var want []string
	for i := range byte(n) {
		want = append(want, string([]byte{i}))
	}
	c.send(append(want, "\x00")...)
	for range n {
		<-entered // all at once, though none has been answered
	}
	for i := n - 1; i > 0; i-- {
		close(gates[i])
	}
	require.Empty(t, entered, "the ninth waits for a place")
	close(gates[0])
	c.expect(want...)
	c.expect("\x00")
	require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, time.Millisecond)
	require.EqualValues(t, n+1, s.Stat().Requests)
}

func TestConcurrentAnswersAreNotHeldBack(t *testing.T) {
	gate := make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		if string(req) == "slow" {
			<-gate
		}
		return req, nil
	})
	h.Concurrency = 2
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send("fast", "slow")
	c.expect("fast") // while slow is in progress
	close(gate)
	c.expect("slow")
}

func TestHalfClosedPeerGetsItsAnswers(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := &server.FrameHandler{Handle: script, Concurrency: n}
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("a", "b", "c")
		require.NoError(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
		c.expect("> a", "> b", "> c")
		c.expectEnd()
	})
}

func TestFrameHandlerAlone(t *testing.T) {
	near, far := tcpPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&server.FrameHandler{Handle: script}).ServeConn(ctx, conn.New(far))
	}()
	c := newClient(t, near)
	c.send("a")
	c.expect("> a")
	cancel()
	<-done
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
}

// Requests are counted whatever the way to their handler is, while the connection is
// still busy with another one.
func TestRequestsAreCounted(t *testing.T) {
	for name, change := range map[string]func(s *server.Server, h *server.FrameHandler){
		"plain":    func(*server.Server, *server.FrameHandler) {},
		"limited":  func(_ *server.Server, h *server.FrameHandler) { h.Limiter = &server.Limiter{Max: 1} },
		"observed": func(s *server.Server, _ *server.FrameHandler) { s.Hooks = []any{&recorder{}} },
		"deadline": func(_ *server.Server, h *server.FrameHandler) {
			h.Deadline = func([]byte) time.Duration { return time.Hour }
		},
		"appended": func(_ *server.Server, h *server.FrameHandler) {
			h.Handle, h.Append = nil, func(_ context.Context, dst, req []byte) ([]byte, error) { return append(dst, req...), nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				h := echo()
				h.Concurrency = n
				s := &server.Server{Handler: h}
				change(s, h)
				c := dial(t, start(t, s))
				_, err := c.Write([]byte("\x00\x01a\x00\x01b\x00"))
				require.NoError(t, err)
				c.expect("a", "b")
				require.EqualValues(t, 2, s.Stat().Requests)
			})
		})
	}
}

// What is left after a failure is neither handled nor answered, and is no fault of the
// peer's.
func TestRequestsBehindAFailure(t *testing.T) {
	log := &logbook{}
	let := make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		switch string(req) {
		case "wait":
			<-let
			return req, nil
		case "fail":
			return nil, errors.New("failed")
		}
		return nil, errors.New("it is behind the failure")
	})
	h.Concurrency, h.Unordered = 2, true
	s := &server.Server{Handler: h, Logger: log.logger()}
	c := dial(t, start(t, s))
	c.send("wait", "fail", "c")
	require.Eventually(t, func() bool { return len(log.with("handler failed")) > 0 }, patience, time.Millisecond)
	close(let)
	c.expectEnd()
	log.requireOne(t, "handler failed")
	require.Empty(t, log.with("malformed"))
}
