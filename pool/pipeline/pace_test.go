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

// A server that never replies to some requests, but replies to all others at once,
// is not overloaded, however long those stay without a reply.
func TestRequestsWithoutReplyAreNoOverload(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		go func() {
			for {
				nc, err := b.net.Accept()
				if err != nil {
					return
				}
				go mostlyReplies(nc)
			}
		}()
		var callers sync.WaitGroup
		for range 2 {
			callers.Go(func() {
				for range 1000 {
					ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
					_, _ = b.Call(ctx, []byte("1.request"))
					cancel()
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		callers.Wait()
		require.Zero(b, b.Stat().Overloaded)

		time.Sleep(5 * time.Second) // with requests on their way that nobody replies to
		for range 32 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
				defer cancel()
				_, _ = b.Call(ctx, []byte("1.request"))
			})
		}
		callers.Wait()
		require.Zero(b, b.Stat().Overloaded)
	})
}

// Nor is one that keeps some callers waiting, as a long poll does.
func TestLongPollsAreNoOverload(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		go func() {
			if nc, err := b.net.Accept(); err == nil {
				mostlyReplies(nc)
			}
		}()
		var polls sync.WaitGroup
		lone, leave := context.WithTimeout(bg, 50*time.Millisecond) // else one of the others reads for all
		defer leave()
		_, _ = b.Call(lone, []byte("1.poll"))
		for range 16 {
			polls.Go(func() { _, _ = b.Call(ctx, []byte("1.poll")) })
		}
		for range 30 {
			time.Sleep(300 * time.Millisecond)
			short, cancel := context.WithTimeout(bg, 50*time.Millisecond)
			_, _ = b.Call(short, []byte("1.request"))
			cancel()
		}
		require.Zero(b, b.Stat().Overloaded)
		require.Greater(b, b.Stat().Replies, uint64(25))
		cancel()
		polls.Wait()
	})
}

// mostlyReplies echoes requests after 2 ms, but for polls and one in 40.
func mostlyReplies(nc net.Conn) {
	defer nc.Close()
	frames := framing.NewReader(nc, framing.Format{})
	for n := 0; ; n++ {
		frame, err := frames.Next()
		if err != nil {
			return
		}
		if n%40 == 39 || string(frame[2:]) == "poll" {
			continue
		}
		reply, _ := framing.Format{}.Append(nil, frame)
		time.AfterFunc(2*time.Millisecond, func() { _, _ = nc.Write(reply) })
	}
}

// The pace is not learned from the time between replies while only a long poll waits.
func TestLongPollDoesNotSpoilThePace(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes, StallTimeout: -1, MaxLifetime: -1}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		short, leave := context.WithTimeout(bg, 50*time.Millisecond)
		defer leave()
		alone := b.call(short, "1.poll") // it reads, and leaves that to the connection's goroutine
		go func() {
			p := b.accept()
			for {
				frame, err := p.frames.Next()
				if err != nil {
					return
				}
				if string(frame[2:]) == "request" {
					reply, _ := framing.Format{}.Append(nil, frame)
					time.AfterFunc(time.Millisecond, func() { _, _ = p.Write(reply) })
				}
			}
		}()
		alone.failed(context.DeadlineExceeded, true)
		poll := b.call(ctx, "1.poll")
		request := func() error {
			ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
			defer cancel()
			_, err := b.Call(ctx, []byte("1.request"))
			return err
		}
		for range 50 {
			time.Sleep(300 * time.Millisecond)
			require.NoError(b, request())
		}
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				if err := request(); err != nil {
					b.Error(err)
				}
			})
		}
		callers.Wait()
		cancel()
		poll.failed(context.Canceled, true)
		require.NoError(b, b.Close())
	})
}
