package server_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// slowLog waits, before it logs how many lines are left out, until it is let.
type slowLog struct {
	slog.Handler
	let chan struct{}
}

func (l slowLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "more of the same") {
		<-l.let
	}
	return l.Handler.Handle(ctx, r)
}

// summing is a server in a bubble, and what it logs.
type summing struct {
	*server.Server
	log *logbook
	let chan struct{}
	l   *memnet.Listener
}

func newSumming(t *testing.T, change ...func(h *server.FrameHandler)) *summing {
	s := &summing{log: &logbook{}, let: make(chan struct{})}
	h := server.Frames(framing.Format{HeaderSize: framing.Varint, MaxSize: 100}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	h.IdleTimeout = time.Minute
	for _, f := range change {
		f(h)
	}
	s.Server = &server.Server{Handler: h, Logger: slog.New(slowLog{s.log.logger().Handler(), s.let})}
	s.l = newMemServer(t, s.Server)
	return s
}

func (s *summing) dial(t *testing.T) net.Conn {
	nc, err := s.l.Dial(t.Context())
	require.NoError(t, err)
	return nc
}

// malformed sends so many malformed requests, each on a connection of its own.
func (s *summing) malformed(t *testing.T, n int) {
	for range n {
		nc := s.dial(t)
		_, err := nc.Write([]byte(strings.Repeat("\xff", 20)))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, nc.Close())
	}
}

// Lines that are left out are counted soon, whether or not another one follows.
func TestSummaryComesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSumming(t)
		close(s.let)
		idle := s.dial(t)
		for i := range 3 {
			s.malformed(t, 5)
			require.Len(t, s.log.with("malformed request"), 2*i+1)
			time.Sleep(4 * time.Second)
			lines := s.log.with("malformed request")
			require.Len(t, lines, 2*i+2)
			require.Contains(t, lines[2*i+1], "count=4")
			require.Contains(t, lines[2*i+1], "level=WARN")
		}
		require.NoError(t, idle.Close())
	})
}

// Shutdown does not return before all is logged, whoever is about it.
func TestShutdownWaitsForTheSummary(t *testing.T) {
	for name, soon := range map[string]bool{"begun before": false, "begun by Shutdown": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSumming(t)
				idle := s.dial(t)
				s.malformed(t, 3)
				if !soon {
					time.Sleep(4 * time.Second)
				}
				require.NoError(t, idle.Close())
				result := make(chan error, 1)
				go func() { result <- s.Shutdown(context.Background()) }()
				time.Sleep(time.Minute)
				require.Empty(t, result)
				close(s.let)
				require.NoError(t, <-result)
				require.Contains(t, s.log.with("malformed request")[1], "count=2")
			})
		})
	}
}

// A connection that comes while the server is about to rest has its timeouts.
func TestConnectionThatComesDuringTheSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSumming(t)
		s.malformed(t, 3)
		time.Sleep(4 * time.Second) // no connection is left, and the server logs
		nc := s.dial(t)
		synctest.Wait()
		began := time.Now()
		time.Sleep(time.Second)
		close(s.let)
		requireEndsAfter(t, nc, time.Minute-time.Since(began))
		require.NoError(t, nc.Close())
	})
}

// One that is left out is counted too, and soon where nothing has a timeout.
func TestSummaryOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSumming(t, func(h *server.FrameHandler) {
			h.ReadTimeout, h.WriteTimeout, h.IdleTimeout, h.ParkAfter, h.SleepAfter = -1, -1, -1, -1, -1
		})
		close(s.let)
		s.malformed(t, 2)
		time.Sleep(4 * time.Second)
		lines := s.log.with("malformed request")
		require.Len(t, lines, 2)
		require.Contains(t, lines[1], "count=1")
	})
}

// Failed handshakes are counted soon, also where no connection was ever served.
func TestSummaryOfHandshakes(t *testing.T) {
	srv, _ := certificates(t)
	for name, h := range map[string]server.Handler{
		"frames":     echo(),
		"no timeout": &server.FrameHandler{Handle: script, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1},
		"raw":        server.HandlerFunc(func(context.Context, *conn.Conn) {}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &logbook{}
				l := newMemServer(t, &server.Server{Handler: h, TLSConfig: srv, Logger: log.logger()})
				for i := range 3 {
					for range 5 {
						nc, err := l.Dial(t.Context())
						require.NoError(t, err)
						_, err = nc.Write([]byte("no TLS here\n"))
						require.NoError(t, err)
						synctest.Wait()
						require.NoError(t, nc.Close())
					}
					time.Sleep(4 * time.Second)
					lines := log.with("handshake failed")
					require.Len(t, lines, 2*i+2)
					require.Contains(t, lines[2*i+1], "count=4")
				}
			})
		})
	}
}

// The end of an idle connection is logged for who debugs.
func TestTheLogOfAnIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSumming(t)
		nc := s.dial(t)
		time.Sleep(2 * time.Minute)
		require.NoError(t, nc.Close())
		s.log.requireOne(t, "no request in time", "level=DEBUG", "remote=")
	})
}
