package pool_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/examples/custompool"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// opener is what Config.Backend takes.
type opener = backend.OpenFunc[*pool.Member]

// backends is the table over which every test of the frontend is run.
var backends = []struct {
	name string
	open opener
}{
	{"puddlepool", puddlepool.Open[*pool.Member]},
	{"slotpool", slotpool.Open[*pool.Member]},
	{"custompool", custompool.Open[*pool.Member]},
}

// overBackends runs f as a subtest for each backend.
func overBackends(t *testing.T, f func(t *testing.T, open opener)) {
	t.Helper()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { f(t, b.open) })
	}
}

// inBubbles runs f in a synctest bubble for each backend.
func inBubbles(t *testing.T, f func(t *testing.T, open opener)) {
	t.Helper()
	overBackends(t, func(t *testing.T, open opener) {
		synctest.Test(t, func(t *testing.T) { f(t, open) })
	})
}

// quit is the byte at which echo closes the connection.
const quit = 'q'

// echo sends back what it receives.
func echo(c net.Conn) {
	b := make([]byte, 512)
	for {
		n, err := c.Read(b)
		if err != nil || b[0] == quit {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// tcpServer is a server on a loopback socket, closed by t.Cleanup.
type tcpServer struct {
	addr string
	l    net.Listener
	wg   sync.WaitGroup

	mu       sync.Mutex
	conns    map[*net.TCPConn]bool
	accepted int
}

func newTCPServer(t *testing.T, serve func(net.Conn)) *tcpServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &tcpServer{addr: l.Addr().String(), l: l, conns: map[*net.TCPConn]bool{}}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tc := c.(*net.TCPConn)
			s.mu.Lock()
			s.conns[tc] = true
			s.accepted++
			s.mu.Unlock()
			s.wg.Go(func() {
				serve(tc)
				_ = tc.Close()
				s.mu.Lock()
				delete(s.conns, tc)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(s.close)
	return s
}

// each calls f with every open connection.
func (s *tcpServer) each(f func(*net.TCPConn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// count returns how many connections are open and how many there were.
func (s *tcpServer) count() (open, accepted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.accepted
}

func (s *tcpServer) close() {
	_ = s.l.Close()
	s.each(func(c *net.TCPConn) { _ = c.Close() })
	s.wg.Wait()
}

// memServer accepts connections in memory and keeps the server's ends.
type memServer struct {
	l  *memnet.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	dials int
}

// newMemServer starts one that ends with the test. serve is run for each
// connection; nil keeps it open until the client closes.
func newMemServer(t *testing.T, serve func(net.Conn)) *memServer {
	t.Helper()
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
	t.Cleanup(s.close)
	return s
}

// dial is a conn.Target.Dial.
func (s *memServer) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	s.dials++
	s.mu.Unlock()
	c, err := s.l.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &breakable{Conn: c}, nil
}

// breakable is a connection whose writes fail as the kernel has it after a
// reset, once reset is set.
type breakable struct {
	net.Conn
	reset atomic.Bool
}

func (b *breakable) Write(p []byte) (int, error) {
	if b.reset.Load() {
		return 0, syscall.ECONNRESET
	}
	return b.Conn.Write(p)
}

func (b *breakable) CloseWrite() error {
	return b.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// echoUnless is echo that keeps silent about what begins with the byte.
func echoUnless(silent byte) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 512)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if b[0] == silent {
				continue
			}
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// slowly returns a dial that takes d.
func (s *memServer) slowly(d time.Duration) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		time.Sleep(d)
		return s.dial(ctx)
	}
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

// closeConns closes the server's end of every connection.
func (s *memServer) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *memServer) close() {
	_ = s.l.Close()
	s.closeConns()
	s.wg.Wait()
}

// newPool returns a pool that has come to rest when the test ends, which closes
// it if the test has not.
func newPool(t *testing.T, target conn.Target, c pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.New(target, c)
	require.NoError(t, err)
	t.Cleanup(func() { closePool(t, p) })
	return p
}

// get is Get with no expectation of failure.
func get(t *testing.T, p *pool.Pool) *pool.Conn {
	t.Helper()
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	return c
}

// closePool closes p, of which nothing may be in use.
func closePool(t *testing.T, p *pool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, p.Shutdown(ctx))
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
