package server_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Replies that wait behind a slow request are bounded, whatever the requests cost
// their sender; above the bound no more are begun.
func TestRepliesThatWaitAreBounded(t *testing.T) {
	var handled atomic.Int32
	let := make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		if string(req) == "slow" {
			<-let
			return req, nil
		}
		handled.Add(1)
		return make([]byte, 60000), nil
	})
	h.Concurrency = 256
	c := dial(t, start(t, &server.Server{Handler: h}))
	requests := []string{"slow"}
	for range 200 {
		requests = append(requests, "x")
	}
	c.send(requests...)
	// Those that were being handled are finished: few, but on a busy machine more than
	// there are processors.
	const most = 100
	require.Eventually(t, func() bool { return handled.Load() >= 256<<10/60000 }, patience, time.Millisecond)
	for range 100 {
		runtime.Gosched()
		require.Less(t, handled.Load(), int32(most))
	}
	close(let)
	c.expect("slow")
	for range 200 {
		got, err := c.r.Next()
		require.NoError(t, err)
		require.Len(t, got, 60000)
	}
}

// A single reply above the bound, and refusals that alone reach it, block nothing.
func TestReplyAboveTheBound(t *testing.T) {
	h := refusing(framing.Format{MaxSize: 100}, 4)
	h.MaxReplyBytes = 1
	c := dial(t, start(t, &server.Server{Handler: h}))
	big := "\x00\xc8" + strings.Repeat("x", 200)
	go func() {
		for range 100 {
			if _, err := c.Write([]byte("\x00\x01a" + big + big + "\x00\x01b")); err != nil {
				return
			}
		}
	}()
	for range 100 {
		c.expect("a", "refused", "refused", "b")
	}
}

func TestUnordered(t *testing.T) {
	let := make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		if string(req) == "slow" {
			<-let
		}
		return req, nil
	})
	h.Concurrency, h.Unordered = 4, true
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send("slow", "a")
	c.expect("a")
	c.send("b")
	c.expect("b")
	close(let)
	c.expect("slow")

	h.Concurrency = 1
	require.ErrorContains(t, (&server.Server{Handler: h}).Validate(), "Unordered")
}

// Every request is answered once, whatever the mixture of quick and slow handlers.
func TestConcurrentMixture(t *testing.T) {
	for name, unordered := range map[string]bool{"ordered": false, "unordered": true} {
		t.Run(name, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
				switch rand.IntN(20) {
				case 0:
					time.Sleep(time.Millisecond)
				case 1:
					runtime.Gosched()
				}
				return req, nil
			})
			h.Concurrency, h.Unordered, h.MaxReplyBytes = 8, unordered, 100
			s := &server.Server{Handler: h}
			addr := start(t, s)
			var wg sync.WaitGroup
			failures := make(chan error, 8)
			for range 8 {
				wg.Go(func() { failures <- mixture(addr, unordered) })
			}
			wg.Wait()
			for range 8 {
				require.NoError(t, <-failures)
			}
		})
	}
}

func mixture(addr string, unordered bool) error {
	const n = 2000
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	wrote := make(chan error, 1)
	go func() {
		w := framing.NewWriter(nc, framing.Format{})
		for i := range n {
			if err := w.WriteFrame(fmt.Append(nil, i)); err != nil {
				wrote <- err
				return
			}
			if i%50 == 0 {
				_ = w.Flush()
			}
		}
		wrote <- w.Flush()
	}()
	r := framing.NewReader(nc, framing.Format{})
	seen := make(map[string]bool)
	for i := range n {
		got, err := r.Next()
		if err != nil {
			return err
		}
		if !unordered && string(got) != fmt.Sprint(i) || seen[string(got)] {
			return fmt.Errorf("reply %d is %q", i, got)
		}
		seen[string(got)] = true
	}
	return <-wrote
}

// A connection between requests holds none of them, whatever their size.
func TestIdleConnectionWithConcurrencyHoldsNoRequest(t *testing.T) {
	const n, size = 10, 4 << 20
	h := server.Frames(framing.Format{HeaderSize: 4}, func(_ context.Context, req []byte) ([]byte, error) { return req[:1], nil })
	h.Concurrency = 2
	s := &server.Server{Handler: h}
	addr := start(t, s)
	before := heap()
	for range n {
		c := dial(t, addr)
		wire := make([]byte, 4+size)
		wire[1] = size >> 16
		_, err := c.Write(wire)
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 5))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return s.Stat().Idle == n }, patience, time.Millisecond)
	require.Less(t, heap()-before, int64(size))
}

func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// With Concurrency a connection is active from the first byte of a request until the
// last reply, and idle then, in the figures and for the hook.
func TestStatesUnderConcurrency(t *testing.T) {
	var mu sync.Mutex
	var states []string
	h, entered, let := gated()
	h.Concurrency = 4
	s := &server.Server{Handler: h, ConnState: func(_ *conn.Conn, state server.State) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, state.String())
	}}
	c := dial(t, start(t, s))
	for range 3 {
		c.send("a", "b")
		<-entered
		<-entered
		require.Equal(t, 1, s.Stat().Active)
		require.Zero(t, s.Stat().Idle)
		let <- struct{}{}
		let <- struct{}{}
		c.expect("a", "b")
		require.Eventually(t, func() bool { return s.Stat().Idle == 1 && s.Stat().Active == 0 }, patience, time.Millisecond)
		require.Eventually(t, func() bool { // the hook hears of it at once
			mu.Lock()
			defer mu.Unlock()
			return states[len(states)-1] == "idle"
		}, patience, time.Millisecond)
	}
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"new", "idle", "active", "idle", "active", "idle", "active", "idle", "closed"}, states)
}

// The wait for the next request begins with the last reply, not before.
func TestIdleTimeoutBeginsWithTheLastReply(t *testing.T) {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		time.Sleep(6 * time.Second)
		return req, nil
	})
	h.Concurrency, h.IdleTimeout = 2, 8*time.Second
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		exchangeOne(t, nc)
		requireEndsAfter(t, nc, h.IdleTimeout)
	})
}

// One reply of several leaves the connection active.
func TestConnectionIsActiveUntilTheLastReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, let := gated()
		h.Concurrency = 4
		s := &server.Server{Handler: h}
		nc, err := newMemServer(t, s).Dial(t.Context())
		require.NoError(t, err)
		c := newClient(t, nc)
		c.send("a", "b", "c")
		for range 2 {
			synctest.Wait()
			require.Equal(t, []int{1, 0}, []int{s.Stat().Active, s.Stat().Idle})
			let <- struct{}{}
		}
		synctest.Wait()
		require.Equal(t, []int{1, 0}, []int{s.Stat().Active, s.Stat().Idle})
		close(let)
		c.expect("a", "b", "c")
		synctest.Wait()
		require.Equal(t, []int{0, 1}, []int{s.Stat().Active, s.Stat().Idle})
	})
}

// Requests whose replies are not written are reported all the same, once each.
func TestRequestsThatLoseTheirRepliesAreReported(t *testing.T) {
	for name, unordered := range map[string]bool{"ordered": false, "unordered": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, entered, let := gated()
				gate := h.Handle
				h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
					if string(req) != "fail" {
						reply, err := gate(ctx, req)
						return reply, err
					}
					<-let
					return nil, io.ErrNoProgress
				}
				h.Concurrency, h.Unordered = 4, unordered
				r := &recorder{}
				s := &server.Server{Handler: h, Hooks: []any{r}}
				nc, err := newMemServer(t, s).Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				c.send("fail")
				synctest.Wait()
				c.send("a", "b")
				synctest.Wait()
				require.Len(t, entered, 2)
				let <- struct{}{} // the first that waits is the one that fails
				synctest.Wait()
				close(let)
				c.expectEnd()
				require.NoError(t, c.Close())
				synctest.Wait()
				events := r.byRequest()
				require.Len(t, events, 3)
				for _, e := range events {
					require.False(t, e.Replied)
				}
			})
		})
	}
}
