package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// stressTime is how long the stress takes over each backend; POOL_STRESS sets
// another time, as "30s".
const stressTime = 500 * time.Millisecond

// TestStress has many callers share few connections on real sockets and end
// their checkouts in every good and bad way, while the server closes connections
// and the pool is cleared and resized. Every message is checked against its
// answer, every connection against having two owners, and stale handles are
// used all the time: one byte of another's would show.
func TestStress(t *testing.T) {
	length := stressTime
	if s := os.Getenv("POOL_STRESS"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, echo8)
		st := &stress{p: newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MaxConns: 6, MinIdle: 2,
			MaxLifetime: 50 * time.Millisecond, LifetimeJitter: 30 * time.Millisecond, MaxIdleTime: 20 * time.Millisecond,
			DialBackoff: conn.DialBackoff{After: -1},
		})}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		end, latest := time.Now().Add(length), time.Now().Add(length+time.Minute)
		over := func() bool { // on a busy machine it takes longer to see everything
			now := time.Now()
			return now.After(end) && (st.seenAll() || now.After(latest))
		}
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				var stale *pool.Conn
				for !over() {
					stale = st.checkout(r, stale)
				}
			})
		}
		r := rand.New(rand.NewPCG(seed, 1000))
		for !over() {
			time.Sleep(time.Millisecond)
			switch r.IntN(20) {
			case 0:
				st.p.Clear()
			case 1, 2:
				_ = st.p.Resize(4 + r.IntN(5))
			case 3:
				s.each(func(c *net.TCPConn) {
					if r.IntN(3) == 0 {
						_ = c.SetLinger(r.IntN(2) - 1)
						_ = c.Close()
					}
				})
			}
			if st.p.Stat().Open > 9 {
				st.fault("%d connections open", st.p.Stat().Open)
			}
		}
		wg.Wait()
		require.Empty(t, st.faults)
		stat := st.p.Stat()
		require.Zero(t, stat.Waiting)
		closePool(t, st.p)
		require.Eventually(t, func() bool { open, _ := s.count(); return open == 0 }, time.Minute, time.Millisecond)
		e := st.p.Stat().Evictions
		t.Logf("%d checkouts, %+v", stat.Gets, e)
		require.True(t, st.seenAll(), "%d good calls, %+v", st.good.Load(), e)
	})
}

// stress is what the callers of TestStress share.
type stress struct {
	p      *pool.Pool
	owners sync.Map // net.Conn to *atomic.Int32
	good   atomic.Int64
	serial atomic.Uint64

	mu     sync.Mutex
	faults []string
}

// seenAll reports whether there was enough of everything.
func (s *stress) seenAll() bool {
	e := s.p.Stat().Evictions
	return s.good.Load() > 100 && min(e[pool.Dead], e[pool.Dirty], e[pool.Unfit], e[pool.Discarded]) > 0
}

func (s *stress) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 10 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// checkout acquires once, and returns the handle, by then stale.
func (s *stress) checkout(r *rand.Rand, stale *pool.Conn) *pool.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+r.IntN(100))*time.Millisecond)
	defer cancel()
	c, err := s.p.Get(ctx)
	if err != nil {
		var dial *conn.Error // reset by the server's closing, just when it was made
		if ctx.Err() == nil && !errors.Is(err, pool.ErrOverloaded) && !(errors.As(err, &dial) && dial.Op == "dial") {
			s.fault("Get: %v", err)
		}
		return stale
	}
	if stale != nil {
		s.misuse(r, stale)
	}
	if r.IntN(16) == 0 {
		if err = c.Replace(ctx); err != nil {
			return nil
		}
	}
	v, _ := s.owners.LoadOrStore(c.NetConn(), new(atomic.Int32))
	owner := v.(*atomic.Int32)
	if owner.Add(1) != 1 {
		s.fault("two owners")
	}
	ok := s.use(r, c)
	owner.Add(-1)
	s.end(r, c, ok)
	return c
}

// misuse does with a stale handle what must have no effect.
func (s *stress) misuse(r *rand.Rand, stale *pool.Conn) {
	var err error
	switch r.IntN(5) {
	case 0:
		_, err = stale.Write([]byte("not mine"))
	case 1:
		_, err = stale.Read(make([]byte, 8))
	case 2:
		err = stale.SetDeadline(time.Now().Add(-time.Hour))
	case 3:
		err = stale.Conn.Close()
	case 4:
		stale.Evict()
		return
	}
	if !errors.Is(err, net.ErrClosed) {
		s.fault("a stale handle worked: %v", err)
	}
}

// use sends a few messages and reports whether all came back.
func (s *stress) use(r *rand.Rand, c *pool.Conn) bool {
	var b [8]byte
	for range 1 + r.IntN(4) {
		n := s.serial.Add(1)
		if _, err := c.Write(binary.BigEndian.AppendUint64(nil, n)); err != nil {
			return false
		}
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return false
		}
		if got := binary.BigEndian.Uint64(b[:]); got != n {
			s.fault("sent %d, got %d", n, got)
		}
		s.good.Add(1)
	}
	return true
}

// end ends the checkout, often after leaving something behind.
func (s *stress) end(r *rand.Rand, c *pool.Conn, ok bool) {
	switch r.IntN(12) {
	case 0:
		c.Evict()
	case 1: // an answer that nobody reads; that it will come nobody can know
		_, err := c.Write(make([]byte, 8))
		for err == nil {
			runtime.Gosched()
			err = c.Check()
		}
	case 2:
		_ = c.SetDeadline(time.Now().Add(time.Hour))
	case 3:
		c.SetMidMessage(true)
	case 4: // a reader that is still at it
		go func() { _, _ = c.Read(make([]byte, 8)) }()
	case 5: // half an answer
		if _, err := c.Write(make([]byte, 8)); err == nil && ok {
			_, _ = c.Peek(1)
		}
	case 6:
		go c.Close()
	}
	_ = c.Close()
}

// echo8 is echo for messages of eight bytes.
func echo8(c net.Conn) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return
		}
		if _, err := c.Write(b[:]); err != nil {
			return
		}
	}
}
