package pipeline

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// pipes is a dial of connections whose other ends it leaves in a channel.
func pipes(ends chan<- net.Conn) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		here, there := memnet.Pipe()
		ends <- there
		return here, nil
	}
}

// echoed has one request echoed over a connection of the pipeline's.
func echoed(t *testing.T, p *Pipeline, there net.Conn, request string) {
	t.Helper()
	served := make(chan error, 1)
	go func() {
		frame, err := framing.NewReader(there, framing.Format{}).Next()
		if err == nil {
			b, _ := framing.Format{}.Append(nil, frame)
			_, err = there.Write(b)
		}
		served <- err
	}()
	reply, err := p.Call(t.Context(), []byte(request))
	require.NoError(t, err)
	require.Equal(t, request, string(reply))
	require.NoError(t, <-served)
}

// connected returns a pipeline with one connection, and both of its ends. It is for
// a bubble.
func connected(t *testing.T, c Config) (*Pipeline, *sharedConn, net.Conn) {
	ends := make(chan net.Conn, 8)
	p, err := New(conn.Target{Dial: pipes(ends)}, framing.Format{}, c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	first := make(chan error, 1)
	go func() {
		_, err := p.Call(context.Background(), []byte("request"))
		first <- err
	}()
	there := <-ends
	t.Cleanup(func() { _ = there.Close() })
	_, err = framing.NewReader(there, framing.Format{}).Next()
	require.NoError(t, err)
	b, _ := framing.Format{}.Append(nil, []byte("reply"))
	_, err = there.Write(b)
	require.NoError(t, err)
	require.NoError(t, <-first)
	return p, p.all()[0], there
}

// How often a connection is looked at: all that a setting asks for and no more, and
// never while nothing is in flight and nothing is due.
func TestHowOftenAConnectionIsLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		busy int // looks in 24 seconds with a call in flight
	}{
		"defaults":             {Config{MaxLifetime: -1}, 240},
		"StallTimeout":         {Config{MaxLifetime: -1, StallTimeout: 50 * time.Second}, 48},
		"a long StallTimeout":  {Config{MaxLifetime: -1, StallTimeout: time.Hour}, 24},
		"no StallTimeout":      {Config{MaxLifetime: -1, StallTimeout: -1}, 24},
		"CallTimeout":          {Config{MaxLifetime: -1, StallTimeout: -1, CallTimeout: 8 * time.Minute}, 24},
		"a short CallTimeout":  {Config{MaxLifetime: -1, StallTimeout: -1, CallTimeout: 640 * time.Millisecond}, 0},
		"a negative of both":   {Config{MaxLifetime: -1, StallTimeout: -1, CallTimeout: -1}, 24},
		"a long MaxIdleTime":   {Config{MaxLifetime: -1, MaxIdleTime: 1000 * time.Hour}, 240},
		"a heartbeat far away": {Config{MaxLifetime: -1, Heartbeat: Heartbeat{Interval: 1000 * time.Hour}}, 240},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, there := connected(t, c.cfg)
				time.Sleep(time.Minute)
				var looks atomic.Int64
				s.mu.Lock() // p.clock is read by calls and tend
				p.clock = func() stamp {
					looks.Add(1)
					return now()
				}
				s.mu.Unlock()
				time.Sleep(23 * time.Hour)
				require.LessOrEqual(t, looks.Load(), int64(2), "quiet for a day: nothing is due")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				gone := make(chan error, 1)
				go func() {
					_, err := p.Call(ctx, []byte("request"))
					gone <- err
				}()
				synctest.Wait()
				looks.Store(0)
				time.Sleep(24*time.Second + time.Millisecond)
				if c.busy > 0 {
					require.EqualValues(t, c.busy, looks.Load())
				}
				cancel()
				require.Error(t, <-gone)
				_ = there.Close()
			})
		})
	}
	for want, c := range map[time.Duration]Config{
		time.Second:            {},
		100 * time.Millisecond: {StallTimeout: 10 * time.Second},
		40 * time.Millisecond:  {StallTimeout: 10 * time.Second, CallTimeout: 640 * time.Millisecond},
		50 * time.Millisecond:  {StallTimeout: 5 * time.Second, CallTimeout: 16 * time.Second},
	} {
		require.Equal(t, want, c.often())
	}
}

// One goroutine at a time looks at a connection. What asks for a look meanwhile has it
// looked at once more.
func TestOneLookAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, _ := connected(t, Config{MaxLifetime: -1})
		time.Sleep(time.Minute)
		var looking, looks atomic.Int64
		pass := make(chan struct{})
		s.mu.Lock()
		p.clock = func() stamp {
			looking.Add(1)
			defer looking.Add(-1)
			looks.Add(1)
			<-pass
			return now()
		}
		s.mu.Unlock()
		for range 5 {
			s.look()
			synctest.Wait()
		}
		go s.tend() // a timer that fires late: what it was for is seen already
		synctest.Wait()
		require.EqualValues(t, 1, looking.Load())
		close(pass)
		synctest.Wait()
		require.EqualValues(t, 2, looks.Load())
	})
}

// A call that comes while tend finds nothing in flight is looked at in time.
func TestCallThatComesDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, _ := connected(t, Config{MaxLifetime: -1, CallTimeout: 160 * time.Millisecond})
		time.Sleep(time.Minute)
		asleep := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.asleep
		}
		require.True(t, asleep())
		p.mu.Lock() // tend needs it to tell whether the connection is surplus
		s.mu.Lock()
		s.asleep = false
		s.mu.Unlock()
		s.suspect.Store(true)
		go s.tend()
		for !asleep() { // until it has found nothing in flight
			runtime.Gosched()
		}
		ended := make(chan error, 1)
		go func() {
			_, err := p.Call(context.Background(), []byte("request"))
			ended <- err
		}()
		for asleep() {
			runtime.Gosched()
		}
		p.mu.Unlock()
		begun := time.Now()
		require.ErrorIs(t, <-ended, ErrCallTimeout)
		require.Less(t, time.Since(begun), time.Second)
	})
}

// A look that is asked for before the connection's goroutine runs is not lost.
func TestLookBeforeTheConnectionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(conn.Target{Address: "unused:1"}, framing.Format{}, Config{})
		require.NoError(t, err)
		here, there := memnet.Pipe()
		defer there.Close()
		nc := conn.New(here)
		s := newSharedConn(p, nc)
		s.retire(errEvicted)
		p.done.Go(s.run)
		synctest.Wait()
		require.Equal(t, Ends{Evicted: 1}, p.Stat().Ends)
		require.NoError(t, p.Close())
	})
}

// A call that finds its connection too old has it looked at at once, however far away
// the next look is, and goes to another.
func TestOutlivedConnectionIsLookedAtAtOnce(t *testing.T) {
	ends := make(chan net.Conn, 8)
	p, err := New(conn.Target{Dial: pipes(ends)}, framing.Format{}, Config{StallTimeout: -1})
	require.NoError(t, err)
	defer p.Close()
	p.often = 24 * time.Hour
	var slept atomic.Int64
	p.clock = func() stamp {
		s := now()
		s.wall = s.wall.Add(time.Duration(slept.Load()))
		return s
	}
	one := func() {
		done := make(chan error, 1)
		go func() {
			_, err := p.Call(context.Background(), []byte("request"))
			done <- err
		}()
		there := <-ends
		t.Cleanup(func() { _ = there.Close() })
		_, err := framing.NewReader(there, framing.Format{}).Next()
		require.NoError(t, err)
		b, _ := framing.Format{}.Append(nil, []byte("reply"))
		_, err = there.Write(b)
		require.NoError(t, err)
		require.NoError(t, <-done)
	}
	one()
	s := p.all()[0]
	require.Eventually(t, func() bool {
		s.mu.Lock()
		asleep := s.asleep
		s.mu.Unlock()
		if !asleep {
			s.look()
		}
		return asleep
	}, time.Minute, 20*time.Millisecond)
	slept.Store(int64(8 * time.Hour))
	one()
	require.Eventually(t, func() bool { return p.Stat().Ends == Ends{Expired: 1} }, time.Minute, time.Millisecond)
}

// A quiet connection keeps small buffers, for rare calls, and gives up large ones.
func TestBuffersOfAQuietConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, there := connected(t, Config{MaxLifetime: -1})
		kept := func() (n int) {
			time.Sleep(time.Minute)
			s.mu.Lock()
			defer s.mu.Unlock()
			require.LessOrEqual(t, cap(s.pending), idleBuffer)
			require.LessOrEqual(t, cap(s.spare), idleBuffer)
			return min(cap(s.pending), 1) + min(cap(s.spare), 1)
		}
		small := func() {
			for range 3 { // the two buffers take turns
				echoed(t, p, there, "small")
			}
			require.Equal(t, 2, kept())
		}
		small()
		for range 3 {
			echoed(t, p, there, strings.Repeat("x", 10_000))
		}
		synctest.Wait()
		for range 2 {
			s.mu.Lock()
			largest := max(cap(s.pending), cap(s.spare))
			s.mu.Unlock()
			require.Greater(t, largest, idleBuffer, "it has been in use until now")
			s.look() // the first one sees new calls
			synctest.Wait()
		}
		require.Zero(t, kept())
		small()
	})
}

// Frames that wait to be written stay, although no call is in flight.
func TestFramesThatWaitOnAQuietConnection(t *testing.T) {
	const count = 20
	synctest.Test(t, func(t *testing.T) {
		_, s, there := connected(t, Config{MaxLifetime: -1})
		for i := range count {
			require.NoError(t, s.send(bytes.Repeat([]byte{byte(i)}, 30_000)))
			synctest.Wait() // until a write is blocked
		}
		time.Sleep(time.Hour)
		frames := framing.NewReader(there, framing.Format{})
		for i := range count {
			frame, err := frames.Next()
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat([]byte{byte(i)}, 30_000), frame)
		}
	})
}

// A look that is asked for is not put off by a call that comes before it.
func TestCallPutsOffNoLookThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, there := connected(t, Config{StallTimeout: -1})
		time.Sleep(time.Minute)
		synctest.Wait()
		s.tender.successor, s.tender.expiring = closedDial, true
		s.look()
		go func() { _, _ = p.Call(context.Background(), []byte("request")) }()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		leaving := s.leaving
		s.mu.Unlock()
		require.Equal(t, errExpired, leaving)
		_ = there.Close()
	})
}

// A connection that has ended, can no longer be written, or is to end takes no call,
// and the last sends heartbeats nevertheless.
func TestWhoTakesCallsAndHeartbeats(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(s *sharedConn)
		beats int
	}{
		"ended":   {func(s *sharedConn) { s.err = ErrStalled }, 0},
		"broken":  {func(s *sharedConn) { s.broken = ErrStalled }, 0},
		"leaving": {func(s *sharedConn) { s.leaving = errEvicted }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(conn.Target{Address: "unused:1"}, framing.Format{}, Config{Heartbeat: Heartbeat{Interval: time.Hour}})
			require.NoError(t, err)
			here, there := memnet.Pipe()
			defer here.Close()
			defer there.Close()
			s := newSharedConn(p, conn.New(here))
			require.False(t, s.stat().Leaving)
			c.end(s)
			require.True(t, s.stat().Leaving)
			s.writing = true // nobody is to write
			s.beat()
			require.Equal(t, c.beats, s.queue.len())
			_, _, _, err = s.submit(nil, []byte("request"), dueNever, false)
			require.Equal(t, errEnded, err)
			require.Equal(t, c.beats, s.queue.len())
		})
	}
}

// A call with a deadline of its own, or that was given up, is left alone by CallTimeout,
// and does not have the connection looked at more often.
func TestCallsWithoutCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		was := epoch
		epoch = time.Now() // as in a process: the moments are positive
		defer func() { epoch = was }()
		p, s, there := connected(t, Config{CallTimeout: time.Minute, StallTimeout: -1, MaxLifetime: -1})
		time.Sleep(time.Hour)
		var looks atomic.Int64
		s.mu.Lock()
		p.clock = func() stamp {
			looks.Add(1)
			return now()
		}
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
		defer cancel()
		gone := make(chan error, 1)
		go func() {
			_, err := p.Call(ctx, []byte("request"))
			gone <- err
		}()
		time.Sleep(10 * time.Minute)
		require.Empty(t, gone)
		require.LessOrEqual(t, looks.Load(), int64(700))
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		time.Sleep(10 * time.Minute)
		require.LessOrEqual(t, looks.Load(), int64(1400))
		require.NoError(t, there.Close())
		require.NoError(t, p.Close())
	})
}
