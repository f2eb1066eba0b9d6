package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// What had arrived when Shutdown began is answered, what came later is not begun,
// and the goodbye says so.
func TestDrainEndsAtAPointOfTheStream(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h, entered, let := gated()
		h.Concurrency, h.Goodbye = n, []byte("goodbye")
		s := &server.Server{Handler: h}
		addr := start(t, s)
		idle := dial(t, addr)
		require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, time.Millisecond)
		c := dial(t, addr)
		c.send("a", "b", "c")
		<-entered
		require.Eventually(t, func() bool { return s.Stat().Open == 2 }, patience, time.Millisecond)
		result := begin(t, s, context.Background())
		idle.expect("goodbye")
		idle.expectEnd() // Shutdown comes to newer connections first, so it has been at c
		if n == 0 {      // else c's reader notes its point by itself, who knows when
			c.send("d")
		}
		close(let)
		c.expect("a", "b", "c", "goodbye")
		c.expectEnd()
		require.NoError(t, c.Close())
		require.NoError(t, idle.Close())
		require.NoError(t, <-result)
		require.EqualValues(t, 3, s.Stat().Requests)
	})
}

func TestGoodbyeThatTheFormatCannotSay(t *testing.T) {
	h := echo()
	h.Format.MaxSize, h.Goodbye = 10, make([]byte, 11)
	require.ErrorContains(t, (&server.Server{Handler: h}).Validate(), "Goodbye")
}

// A peer that never pauses does not hold up Shutdown.
func TestFirehoseDoesNotHoldUpShutdown(t *testing.T) {
	srv, cli := certificates(t)
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				h := echo()
				h.Concurrency = n
				s := &server.Server{Handler: h}
				var nc net.Conn
				if secure {
					s.TLSConfig = srv
					nc = dialTLS(t, start(t, s), cli).Conn
				} else {
					nc = dial(t, start(t, s)).Conn
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					b := bytes.Repeat([]byte("\x00\x01x"), 5000)
					for err := error(nil); err == nil; {
						_, err = nc.Write(b)
					}
				})
				wg.Go(func() { _, _ = io.Copy(io.Discard, nc) })
				require.Eventually(t, func() bool { return s.Stat().Requests > 10000 }, patience, time.Millisecond)
				shutdown(t, s)
				wg.Wait()
			})
		})
	}
}

// TestDrainUnderLoadAnswersAllThatIsHandled shuts down a server under callers who
// share two connections and never pause. Every request that was handled is
// answered; every other one is told of by the goodbye.
func TestDrainUnderLoadAnswersAllThatIsHandled(t *testing.T) {
	runs := 1
	if long() {
		runs = 30
	}
	srv, cli := certificates(t)
	for _, callers := range []int{20, 256} {
		for _, concurrency := range []int{0, 4, 16} {
			for _, mode := range []string{"TCP", "TLS", "unordered"} {
				t.Run(fmt.Sprintf("%d callers/concurrency %d/%s", callers, concurrency, mode), func(t *testing.T) {
					if mode == "unordered" && concurrency == 0 {
						t.Skip("needs Concurrency")
					}
					for range runs {
						l := &drainLoad{concurrency: concurrency, callers: callers, unordered: mode == "unordered"}
						if mode == "TLS" {
							l.srv, l.cli = srv, cli
						}
						l.run(t)
					}
				})
			}
		}
	}
}

type drainLoad struct {
	concurrency, callers int
	unordered            bool
	srv, cli             *tls.Config
	handled, answered    atomic.Int64
}

const loadGoodbye = "that is all"

func (l *drainLoad) run(t *testing.T) {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		l.handled.Add(1)
		time.Sleep(time.Millisecond)
		return req, nil
	})
	h.Concurrency, h.Unordered, h.Goodbye = l.concurrency, l.unordered, []byte(loadGoodbye)
	s := &server.Server{Handler: h, TLSConfig: l.srv}
	addr := start(t, s)
	failures := make(chan error, 2)
	for range 2 {
		go func() { failures <- l.connection(addr) }()
	}
	require.Eventually(t, func() bool { return l.answered.Load() > 20 }, patience, time.Millisecond)
	began := time.Now()
	shutdown(t, s)
	took := time.Since(began)
	require.NoError(t, <-failures)
	require.NoError(t, <-failures)
	require.Equal(t, l.handled.Load(), l.answered.Load())
	require.Less(t, took, patience/2)
	t.Logf("Shutdown took %v", took.Round(time.Millisecond))
}

// connection keeps as many requests as half the callers on one connection, until
// the goodbye and the end of the stream.
func (l *drainLoad) connection(addr string) error {
	var nc net.Conn
	var err error
	if l.cli != nil {
		nc, err = tls.Dial("tcp", addr, l.cli)
	} else {
		nc, err = net.Dial("tcp", addr)
	}
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	turns := make(chan struct{}, l.callers/2)
	stop := make(chan struct{})
	defer close(stop)
	for range cap(turns) {
		turns <- struct{}{}
	}
	go func() {
		for {
			select {
			case <-turns:
			case <-stop:
				return
			}
			if _, err := nc.Write([]byte("\x00\x04ping")); err != nil {
				return
			}
		}
	}()
	r := framing.NewReader(nc, framing.Format{})
	bye := false
	for {
		got, err := r.Next()
		switch {
		case err == io.EOF && bye:
			return nil
		case err != nil:
			return fmt.Errorf("goodbye %v: %w", bye, err)
		case bye:
			return errors.New("a frame behind the goodbye")
		}
		bye = string(got) == loadGoodbye
		if !bye {
			l.answered.Add(1)
			turns <- struct{}{}
		}
	}
}

// No goodbye follows a request that was handled and has lost its reply, since
// another one on the connection has panicked: the client would repeat it.
func TestNoGoodbyeWhereAHandledRequestHasNoReply(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		t.Run(fmt.Sprint("unordered ", unordered), func(t *testing.T) {
			h, entered, let := gated()
			gate := h.Handle
			h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
				reply, err := gate(ctx, req)
				if string(req) == "panic" {
					panic("on purpose")
				}
				return reply, err
			}
			h.Concurrency, h.Unordered, h.Goodbye = 4, unordered, []byte("goodbye")
			s := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
			addr := start(t, s)
			idle := dial(t, addr)
			require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, time.Millisecond)
			c := dial(t, addr)
			c.send("panic", "handled")
			<-entered
			<-entered
			result := begin(t, s, context.Background())
			idle.expect("goodbye") // Shutdown comes to newer connections first, so it has been at c
			idle.expectEnd()
			close(let)
			for err := error(nil); err == nil; {
				var got []byte
				got, err = c.r.Next() // unordered, the other reply may come first
				require.NotEqual(t, "goodbye", string(got))
			}
			require.NoError(t, c.Close())
			require.NoError(t, idle.Close())
			require.NoError(t, <-result)
		})
	}
}

// A goodbye that the peer does not read has WriteTimeout, as every write.
func TestGoodbyeToAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, 98), nil })
		h.Goodbye, h.WriteTimeout = []byte("goodbye"), 5*time.Second
		s := &server.Server{Handler: h, Logger: log.logger()}
		l := memnet.Listen("server")
		l.BufferSize = 100 // room for the reply alone
		startOn(t, s, l)
		nc, err := l.Dial(t.Context())
		require.NoError(t, err)
		_, err = nc.Write([]byte{0, 0})
		require.NoError(t, err)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Shutdown(t.Context()))
		require.InDelta(t, 5, time.Since(began).Seconds(), 0.5)
		require.EqualValues(t, 1, s.Stat().WriteTimeouts)
		log.requireOne(t, "peer does not read", `err="the peer does not read"`)
		require.NoError(t, nc.Close())
	})
}
