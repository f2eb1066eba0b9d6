package pipeline_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// slowPeer replies to each request after so long, one after the other.
func slowPeer(t *testing.T, each *atomic.Int64) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		here, there := memnet.Pipe()
		t.Cleanup(func() { _ = there.Close() })
		go func() {
			defer there.Close()
			r, w := framing.NewReader(there, framing.Format{}), framing.NewWriter(there, framing.Format{})
			for {
				frame, err := r.Next()
				if err != nil {
					return
				}
				time.Sleep(time.Duration(each.Load()))
				if w.WriteFrame(frame) != nil || w.Flush() != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

// With more calls than the server can handle, it goes on with those that can
// still be in time, and the others are refused before they are sent.
func TestOverload(t *testing.T) {
	const work, patience, length = 2 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second
	for _, test := range []struct {
		name string
		load float64
	}{
		{"1.5 times", 1.5},
		{"twice", 2},
		{"5 times", 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var each atomic.Int64
				each.Store(int64(work))
				p, err := pipeline.New(conn.Target{Dial: slowPeer(t, &each)}, framing.Format{}, pipeline.Config{MaxConns: 2})
				require.NoError(t, err)
				defer p.Close()
				var good, late, refused atomic.Int64
				var callers sync.WaitGroup
				capacity := 2 * float64(length/work)
				for range int(capacity * test.load) {
					callers.Go(func() {
						ctx, cancel := context.WithTimeout(bg, patience)
						defer cancel()
						_, err := p.Call(ctx, []byte("x"))
						var e *pipeline.Error
						switch {
						case err == nil:
							good.Add(1)
						case errors.Is(err, pipeline.ErrOverloaded):
							if !errors.As(err, &e) || e.Written || !e.SafeToRetry() || !e.Timeout() || conn.KindOf(err) != conn.KindOverloaded {
								t.Errorf("%+v", err)
							}
							refused.Add(1)
						default:
							late.Add(1)
						}
					})
					time.Sleep(time.Duration(float64(work) / 2 / test.load))
				}
				callers.Wait()
				t.Logf("%d good of %.0f possible, %d late, %d refused", good.Load(), capacity, late.Load(), refused.Load())
				require.Greater(t, float64(good.Load()), 0.9*capacity)
				require.Less(t, float64(late.Load()), 0.05*capacity)
				s := p.Stat()
				require.EqualValues(t, refused.Load(), s.Overloaded)
				require.EqualValues(t, 2, s.Dials)
			})
		})
	}
}

// A server that was slow and is fast again is called again.
func TestOverloadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var each atomic.Int64
		p, err := pipeline.New(conn.Target{Dial: slowPeer(t, &each)}, framing.Format{}, pipeline.Config{})
		require.NoError(t, err)
		defer p.Close()
		var callers sync.WaitGroup
		var good, refused int
		var mu sync.Mutex
		load := func(n int, patience time.Duration) {
			good, refused = 0, 0
			for range n {
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(bg, patience)
					defer cancel()
					_, err := p.Call(ctx, []byte("x"))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						good++
					} else if errors.Is(err, pipeline.ErrOverloaded) {
						refused++
					}
				})
				time.Sleep(time.Millisecond)
			}
			callers.Wait()
		}
		each.Store(int64(time.Second))
		load(20, 10*time.Second) // nothing is known of the pace yet
		load(20, 10*time.Second)
		require.NotZero(t, refused)
		each.Store(0)
		time.Sleep(time.Minute)
		load(100, 10*time.Millisecond)
		require.Equal(t, 100, good)

		// A caller without a deadline is never refused.
		each.Store(int64(10 * time.Millisecond))
		for range 100 {
			callers.Go(func() {
				if _, err := p.Call(bg, []byte("x")); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
	})
}
