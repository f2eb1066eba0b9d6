package server_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// refusing answers requests with themselves, and oversize ones with "refused".
func refusing(f framing.Format, n int) *server.FrameHandler {
	f.SkipOversize = true
	h := server.Frames(f, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	h.ErrorReply = func(context.Context, error) []byte { return []byte("refused") }
	h.Concurrency = n
	return h
}

// A header whose frame has no end that a number can say is answered once, then the
// connection ends.
func TestOversizeWithoutEndIsAnsweredOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		f    framing.Format
		head string
	}{
		"2^62":   {framing.Format{HeaderSize: 8, MaxSize: 100}, "\x40\x00\x00\x00\x00\x00\x00\x00"},
		"2^63":   {framing.Format{HeaderSize: 8, MaxSize: 100}, "\x80\x00\x00\x00\x00\x00\x00\x00"},
		"2^64-1": {framing.Format{HeaderSize: 8, MaxSize: 100}, "\xff\xff\xff\xff\xff\xff\xff\xff"},
		"varint": {framing.Format{HeaderSize: framing.Varint, MaxSize: 100}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				s := &server.Server{Handler: refusing(tc.f, n)}
				c := dial(t, start(t, s))
				ok, err := tc.f.Append(nil, []byte("ok"))
				require.NoError(t, err)
				_, err = c.Write(append(ok, tc.head...))
				require.NoError(t, err)
				want, err := tc.f.Append(bytes.Clone(ok), []byte("refused"))
				require.NoError(t, err)
				got, err := io.ReadAll(io.LimitReader(c, 1<<20))
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
				require.EqualValues(t, 1, s.Stat().Oversize)
			})
		})
	}
}

// A connection that its own handler closes ends at once, one-way requests in its
// buffer included, and its goroutine with it.
func TestClosedByItsHandlerAmongOneWayRequests(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		handled := make(chan string, 6)
		s := &server.Server{Handler: &server.FrameHandler{
			Concurrency: n,
			Handle: func(ctx context.Context, req []byte) ([]byte, error) {
				handled <- string(req)
				if string(req) == "kick" {
					_ = server.ConnFromContext(ctx).Close()
				}
				return nil, server.ErrNoReply
			},
		}}
		addr := start(t, s)
		for _, requests := range [][]string{{"a", "kick", "b"}, {"a", "kick"}, {"kick"}} {
			c := dial(t, addr)
			c.send(requests...)
			c.expectEnd()
			require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
		}
		if n == 0 { // else b may have begun before the end
			require.Len(t, handled, 5, "a, kick; a, kick; kick")
		}
	})
}

// The same for a server that is closed while one-way requests wait in the buffer.
func TestClosedByItsServerAmongOneWayRequests(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		entered, let := make(chan struct{}, 100), make(chan struct{})
		s := &server.Server{Handler: &server.FrameHandler{
			Concurrency: n,
			Handle: func(context.Context, []byte) ([]byte, error) {
				entered <- struct{}{}
				<-let
				return nil, server.ErrNoReply
			},
		}}
		c := dial(t, start(t, s))
		c.send(strings.Split("abcdefghijk", "")...)
		<-entered
		require.NoError(t, s.Close())
		close(let)
		shutdown(t, s)
		require.Zero(t, s.Stat().Handlers)
	})
}

// The time of a request begins with it, and not with an oversize one that was
// skipped before it.
func TestSkippedOversizeLeavesTheNextRequestItsTime(t *testing.T) {
	h := refusing(framing.Format{MaxSize: 100}, 0)
	h.ReadTimeout = 10 * time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte{0x03, 0xe8}) // 1,000 bytes
		require.NoError(t, err)
		for range 9 {
			time.Sleep(time.Second)
			_, err = nc.Write(make([]byte, 100))
			require.NoError(t, err)
		}
		_, err = nc.Write(append(make([]byte, 100), "\x00\x05he"...))
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = nc.Write([]byte("llo"))
		require.NoError(t, err)
		got := make([]byte, 9+7)
		_, err = io.ReadFull(nc, got)
		require.NoError(t, err)
		require.Equal(t, "\x00\x07refused\x00\x05hello", string(got))

		_, err = nc.Write(append([]byte{0, 101}, make([]byte, 50)...))
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = nc.Write(append(make([]byte, 51), "\x00\x05he"...))
		require.NoError(t, err)
		_, err = io.ReadFull(nc, got[:9])
		require.NoError(t, err)
		requireEndsAfter(t, nc, h.ReadTimeout)
		require.EqualValues(t, 1, s.Stat().ReadTimeouts)
	})
}

// An oversize request has its time too, however fast its bytes come.
func TestSkippedOversizeHasReadTimeout(t *testing.T) {
	h := refusing(framing.Format{HeaderSize: 8, MaxSize: 100}, 0)
	h.ReadTimeout = 5 * time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x3f\xff\xff\xff\xff\xff\xff\xff"))
		require.NoError(t, err)
		began := time.Now()
		for err == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = nc.Write(make([]byte, 1000))
		}
		require.Less(t, time.Since(began), 7*time.Second)
		require.EqualValues(t, 1, s.Stat().ReadTimeouts)
	})
}

// A request larger than the read buffer has its ReadTimeout.
func TestReadTimeoutOfALargeRequest(t *testing.T) {
	h := server.Frames(framing.Format{HeaderSize: 4}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	h.ReadTimeout = 5 * time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x00\x0f\x00\x00"))
		require.NoError(t, err)
		began := time.Now()
		for err == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = nc.Write(make([]byte, 4000))
		}
		require.GreaterOrEqual(t, time.Since(began), 5*time.Second)
		require.Less(t, time.Since(began), 7*time.Second)
		require.EqualValues(t, 1, s.Stat().ReadTimeouts)
	})
}

// Many malformed connections are few lines in the log, with their number.
func TestMalformedRequestsAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		h := server.Frames(framing.Format{HeaderSize: framing.Varint, MaxSize: 100},
			func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
		s := &server.Server{Handler: h, Logger: log.logger()}
		l := newMemServer(t, s)
		for range 300 {
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			_, err = nc.Write(bytes.Repeat([]byte{0xff}, 20))
			require.NoError(t, err)
			_, err = io.ReadAll(nc)
			require.NoError(t, err)
			require.NoError(t, nc.Close())
		}
		time.Sleep(3 * time.Second)
		lines := log.with("malformed request")
		require.Len(t, lines, 2)
		require.NotContains(t, lines[0], "count=")
		require.Contains(t, lines[1], "count=299")
	})
}

func TestFormatThatCannotBeWrittenIsRefused(t *testing.T) {
	s := &server.Server{Handler: server.Frames(framing.Format{HeaderSize: 2, LengthOffset: 4},
		func(_ context.Context, req []byte) ([]byte, error) { return req, nil })}
	require.ErrorIs(t, s.Validate(), framing.ErrReadOnly)
	require.ErrorContains(t, s.Validate(), "Format")
}

// An oversize request may be larger than the read buffer.
func TestSkippedOversizeIsLargerThanTheBuffer(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		format := framing.Format{HeaderSize: 4, MaxSize: 100}
		c := dial(t, start(t, &server.Server{Handler: refusing(format, n)}))
		r := framing.NewReader(c, format)
		for range 2 {
			wire := append([]byte{0, 0x10, 0, 0}, make([]byte, 1<<20)...)
			wire = append(wire, "\x00\x00\x00\x02ok"...)
			go func() { _, _ = c.Write(wire) }()
			for _, want := range []string{"refused", "ok"} {
				got, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, want, string(got))
			}
		}
	})
}

// With SkipOversize but no ErrorReply there is nothing to say: the connection ends.
func TestOversizeThatCannotBeAnswered(t *testing.T) {
	log := &logbook{}
	h := echo()
	h.Format = framing.Format{MaxSize: 10, SkipOversize: true}
	c := dial(t, start(t, &server.Server{Handler: h, Logger: log.logger()}))
	c.send("a", strings.Repeat("x", 11), "b")
	c.expect("a")
	c.expectEnd()
	log.requireOne(t, "request too large", "size=11", "limit=10")
	require.Empty(t, log.with("handler failed"))
}
