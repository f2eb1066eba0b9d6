package pool_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// backends is the table over which every test of the frontend is run.
var backends = []struct {
	name string
	open backend.Open[*pool.Member]
}{
	{"puddlepool", puddlepool.Open[*pool.Member]},
	{"slotpool", slotpool.Open[*pool.Member]},
}

// overBackends runs f as a subtest for each backend.
func overBackends(t *testing.T, f func(t *testing.T, open backend.Open[*pool.Member])) {
	t.Helper()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { f(t, b.open) })
	}
}

// memServer accepts connections in memory and keeps the server's ends.
type memServer struct {
	l  *memnet.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	dials int
}

// newMemServer starts one. serve is run for each connection; nil keeps it
// open until the client closes.
func newMemServer(serve func(net.Conn)) *memServer {
	s := &memServer{l: memnet.Listen("mem")}
	if serve == nil {
		serve = func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	}
	s.wg.Go(func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() {
				serve(c)
				_ = c.Close()
				s.mu.Lock()
				defer s.mu.Unlock()
				for i := range s.conns {
					if s.conns[i] == c {
						s.conns = append(s.conns[:i], s.conns[i+1:]...)
						break
					}
				}
			})
		}
	})
	return s
}

// dial is a pool.Config.Dial.
func (s *memServer) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	s.dials++
	s.mu.Unlock()
	return s.l.Dial(ctx)
}

// dialed is how often the server was dialed.
func (s *memServer) dialed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

// open is how many connections the server has.
func (s *memServer) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *memServer) close() {
	_ = s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// newPool is pool.New for a valid configuration.
func newPool(t *testing.T, c pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.New(c)
	require.NoError(t, err)
	return p
}

// get is Get with no expectation of failure.
func get(t *testing.T, p *pool.Pool) *pool.Conn {
	t.Helper()
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	return c
}

// closePool closes p, which must have come to rest.
func closePool(t *testing.T, p *pool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, p.Close(ctx))
	require.Zero(t, p.Stat().Open)
}

// roundTrip sends a byte and reads one back.
func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte{1})
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}
