package server_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// inBubble serves h over memnet inside a synctest bubble and runs f with one
// connection to it.
func inBubble(t *testing.T, h *server.FrameHandler, f func(t *testing.T, s *server.Server, nc net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server")
		s := &server.Server{Handler: h, Logger: (&logbook{}).logger()}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		nc, err := l.Dial(context.Background())
		require.NoError(t, err)
		f(t, s, nc)
		_ = nc.Close()
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		require.NoError(t, s.Shutdown(context.Background()))
	})
}

// requireEndsAfter requires that the server ends nc d from now: not before, and at
// most an eighth of d and a tick of a millisecond later.
func requireEndsAfter(t *testing.T, nc net.Conn, d time.Duration) {
	t.Helper()
	began := time.Now()
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Empty(t, got)
	require.GreaterOrEqual(t, time.Since(began), d)
	require.LessOrEqual(t, time.Since(began), d+d/8+3*time.Millisecond)
}

func exchangeOne(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := nc.Write([]byte("\x00\x02hi"))
	require.NoError(t, err)
	b := make([]byte, 4)
	_, err = io.ReadFull(nc, b)
	require.NoError(t, err)
	require.Equal(t, "\x00\x02hi", string(b))
}

func TestIdleTimeout(t *testing.T) {
	for name, d := range map[string]time.Duration{"short": 10 * time.Millisecond, "long": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			h := echo()
			h.IdleTimeout = d
			inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
				for range 10 { // each request begins it anew
					time.Sleep(d * 3 / 4)
					exchangeOne(t, nc)
				}
				requireEndsAfter(t, nc, d)
				require.EqualValues(t, 1, s.Stat().IdleTimeouts)
			})
		})
	}
}

// One server keeps a short timeout as well beside a long one.
func TestIdleTimeoutsOfTwoHandlers(t *testing.T) {
	long, short := echo(), echo()
	long.IdleTimeout, short.IdleTimeout = time.Minute, 10*time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server")
		next := []*server.FrameHandler{long, short}
		startOn(t, &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
			h := next[0]
			next = next[1:]
			h.ServeConn(ctx, c)
		})}, l)
		first, err := l.Dial(t.Context())
		require.NoError(t, err)
		began := time.Now()
		synctest.Wait()
		second, err := l.Dial(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		requireEndsAfter(t, second, short.IdleTimeout)
		requireEndsAfter(t, first, long.IdleTimeout-time.Since(began))
	})
}

func TestIdleTimeoutOfAPeerThatNeverSends(t *testing.T) {
	inBubble(t, echo(), func(t *testing.T, s *server.Server, nc net.Conn) {
		synctest.Wait()
		requireEndsAfter(t, nc, 15*time.Minute)
	})
}

func TestIdleTimeoutWaitsForRequestsInProgress(t *testing.T) {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		time.Sleep(time.Minute)
		return req, nil
	})
	h.Concurrency, h.IdleTimeout = 2, 7*time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		exchangeOne(t, nc)
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Empty(t, got)
		require.EqualValues(t, 1, s.Stat().IdleTimeouts)
	})
}

func TestReadTimeoutEndsASlowLoris(t *testing.T) {
	for name, dribble := range map[string]string{
		"header": "\x00\x00\x00\x00\x00\x00\x00",
		"body":   "\x00\x00\x00\x00\x00\x00\x01\x00body",
	} {
		t.Run(name, func(t *testing.T) {
			h := echo()
			h.Format.HeaderSize = 8
			h.ReadTimeout = 5 * time.Second
			inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
				if name == "body" {
					_, err := nc.Write([]byte(dribble[:8]))
					require.NoError(t, err)
					dribble = dribble[8:]
				}
				began := time.Now()
				for i := range dribble { // one byte a second earns no more time
					if _, err := nc.Write([]byte{dribble[i]}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				require.GreaterOrEqual(t, time.Since(began), 4*time.Second)
				_, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.LessOrEqual(t, time.Since(began), h.ReadTimeout*3/2)
				require.EqualValues(t, 1, s.Stat().ReadTimeouts)
				require.Zero(t, s.Stat().Requests)
			})
		})
	}
}

func TestReadTimeoutIsForEachRequest(t *testing.T) {
	h := echo()
	h.ReadTimeout = 5 * time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		for range 10 {
			for _, b := range []byte("\x00\x02hi") {
				_, err := nc.Write([]byte{b})
				require.NoError(t, err)
				time.Sleep(time.Second)
			}
			_, err := io.ReadFull(nc, make([]byte, 4))
			require.NoError(t, err)
		}
		require.Zero(t, s.Stat().ReadTimeouts)
	})
}

func TestNegativeTimeoutsAreOff(t *testing.T) {
	h := echo()
	h.ReadTimeout, h.IdleTimeout, h.WriteTimeout = -1, -1, -1
	inBubble(t, h, func(t *testing.T, _ *server.Server, nc net.Conn) {
		time.Sleep(1000 * time.Hour)
		_, err := nc.Write([]byte("\x00"))
		require.NoError(t, err)
		time.Sleep(1000 * time.Hour)
		_, err = nc.Write([]byte("\x02hi"))
		require.NoError(t, err)
		_, err = io.ReadFull(nc, make([]byte, 4))
		require.NoError(t, err)
	})
}

func TestWriteTimeoutEndsAPeerThatDoesNotRead(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
			return make([]byte, 60000), nil
		})
		h.WriteTimeout, h.Concurrency = 50*time.Millisecond, n
		log := &logbook{}
		s := &server.Server{Handler: h, Logger: log.logger()}
		c := dial(t, start(t, s))
		for range 4000 { // far more answers than the sockets hold
			if _, err := c.Write([]byte("\x00\x00")); err != nil {
				break
			}
		}
		require.Eventually(t, func() bool { return s.Stat().Accepted == 1 && s.Stat().Handlers == 0 }, patience, time.Millisecond)
		require.EqualValues(t, 1, s.Stat().WriteTimeouts)
		log.requireOne(t, "peer does not read", c.LocalAddr().String())
	})
}

func TestWriteTimeoutSparesASlowReader(t *testing.T) {
	h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
		return make([]byte, 60000), nil
	})
	h.WriteTimeout = time.Minute
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write(make([]byte, 2*50))
		require.NoError(t, err)
		for range 50 {
			time.Sleep(30 * time.Second)
			_, err := io.ReadFull(nc, make([]byte, 60002))
			require.NoError(t, err)
		}
		require.Zero(t, s.Stat().WriteTimeouts)
	})
}

// TestTimeoutIsNeverEarly holds up the goroutine that keeps the timeouts for an
// hour, in a hook: that hour is not held against a request that began in it.
func TestTimeoutIsNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := echo()
		h.ReadTimeout, h.WriteTimeout = 5*time.Second, 5*time.Second
		s := &server.Server{Handler: h}
		var once sync.Once
		s.ConnState = func(c *conn.Conn, state server.State) {
			if state == server.StateClosed {
				once.Do(func() { time.Sleep(time.Hour) })
			}
		}
		l := memnet.Listen("server")
		startOn(t, s, l)
		deaf, err := l.Dial(context.Background())
		require.NoError(t, err)
		go func() {
			for {
				if _, err := deaf.Write(make([]byte, 2048)); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Hour + 3*time.Second)
		nc, err := l.Dial(context.Background())
		require.NoError(t, err)
		_, err = nc.Write([]byte("\x00\x02h"))
		require.NoError(t, err)
		time.Sleep(4 * time.Second)
		_, err = nc.Write([]byte("i"))
		require.NoError(t, err)
		got := make([]byte, 4)
		_, err = io.ReadFull(nc, got)
		require.NoError(t, err)
		require.Equal(t, "\x00\x02hi", string(got))
		_ = deaf.Close()
		_ = nc.Close()
	})
}

// newMemServer serves s on a listener in memory until the test, or the bubble it is
// in, ends.
func newMemServer(t *testing.T, s *server.Server) *memnet.Listener {
	l := memnet.Listen("server")
	startOn(t, s, l)
	return l
}

// A ConnState hook that sleeps holds up its own connection and no timeout of others.
func TestSlowHookHoldsUpNoTimeout(t *testing.T) {
	deafAndLoris(t, func() { time.Sleep(time.Hour) })
}

// Nor does one that ends the goroutine it runs on.
func TestGoexitInAHookHoldsUpNoTimeout(t *testing.T) {
	deafAndLoris(t, runtime.Goexit)
}

// deafAndLoris has a peer that does not read cut off, with a hook that does f when
// it is closed, and then another cut off that sends no whole request.
func deafAndLoris(t *testing.T, f func()) {
	synctest.Test(t, func(t *testing.T) {
		h := echo()
		h.ReadTimeout, h.WriteTimeout = 5*time.Second, 5*time.Second
		s := &server.Server{Handler: h}
		var once atomic.Bool
		s.ConnState = func(_ *conn.Conn, state server.State) {
			if state == server.StateClosed && once.CompareAndSwap(false, true) {
				f()
			}
		}
		l := newMemServer(t, s)
		deaf, err := l.Dial(t.Context())
		require.NoError(t, err)
		go func() {
			for err := error(nil); err == nil; {
				_, err = deaf.Write(make([]byte, 2048))
			}
		}()
		time.Sleep(6 * time.Second)
		require.EqualValues(t, 1, s.Stat().WriteTimeouts)
		loris, err := l.Dial(t.Context())
		require.NoError(t, err)
		_, err = loris.Write([]byte{0})
		require.NoError(t, err)
		requireEndsAfter(t, loris, h.ReadTimeout)
		_ = deaf.Close()
		time.Sleep(2 * time.Hour)
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// Every request has its ReadTimeout, whatever came before it.
func TestReadTimeoutBehindOtherRequests(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		for _, before := range []int{0, 1, 3} {
			for _, apart := range []bool{true, false} {
				h := echo()
				h.Concurrency, h.ReadTimeout = n, 5*time.Second
				inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
					for range before {
						exchangeOne(t, nc)
						synctest.Wait()
					}
					cut := "\x00\x02h"
					if !apart {
						cut = "\x00\x02hi" + cut
					}
					_, err := nc.Write([]byte(cut))
					require.NoError(t, err)
					if !apart {
						_, err = io.ReadFull(nc, make([]byte, 4))
						require.NoError(t, err)
					}
					requireEndsAfter(t, nc, h.ReadTimeout)
					require.EqualValues(t, 1, s.Stat().ReadTimeouts)
				})
			}
		}
	})
}

// The reply to one request does not make the connection idle while another arrives.
func TestReplyWhileAnotherRequestArrives(t *testing.T) {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		time.Sleep(time.Second)
		return req, nil
	})
	h.Concurrency, h.ReadTimeout = 4, 5*time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x00\x02hi"))
		require.NoError(t, err)
		synctest.Wait()
		began := time.Now()
		_, err = nc.Write([]byte("\x00\x05cu"))
		require.NoError(t, err)
		_, err = io.ReadFull(nc, make([]byte, 4))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, s.Stat().Active)
		requireEndsAfter(t, nc, h.ReadTimeout-time.Since(began))
	})
}
