package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// outage is a dial to a peer whose network is gone until back. As TCP does, a
// dial sends its SYN again after 1, 3, 7, 15 s.
type outage struct {
	back          time.Duration
	most, running atomic.Int32
}

func (o *outage) dial(start *time.Time) func(context.Context, *memnet.Listener) (net.Conn, error) {
	return func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		n := o.running.Add(1)
		defer o.running.Add(-1)
		o.most.Store(max(o.most.Load(), n))
		for wait := time.Second; time.Since(*start) < o.back; wait *= 2 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return l.Dial(ctx)
	}
}

// A dial that waits to send its SYN again must not keep callers from a network
// that is back.
func TestStuckDialHoldsTheOnlyDialPlace(t *testing.T) {
	for _, back := range []time.Duration{6 * time.Second, 8 * time.Second, 12 * time.Second, 20 * time.Second, 27 * time.Second} {
		t.Run(back.String(), func(t *testing.T) {
			o, start := &outage{back: back}, new(time.Time)
			inBubbleDialing(t, pipeline.Config{}, o.dial(start), func(b *bubble) {
				*start = time.Now()
				for b.Stat().Open == 0 {
					ctx, cancel := context.WithTimeout(bg, time.Second)
					_, _ = b.Call(ctx, []byte("request"))
					cancel()
				}
				require.LessOrEqual(b, time.Since(*start), back+time.Second)
				require.LessOrEqual(b, o.most.Load(), int32(3))
			})
		})
	}
}

// A peer that is slow to connect to is waited for.
func TestSlowDialIsNotGivenUp(t *testing.T) {
	var running, most atomic.Int32
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		select {
		case <-time.After(5 * time.Second):
			return l.Dial(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, func(b *bubble) {
		start := time.Now()
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		require.Equal(b, 5*time.Second, time.Since(start))
		p.reply("reply")
		o.replied("reply")
		require.LessOrEqual(b, most.Load(), int32(3))
		synctest.Wait()
		require.Zero(b, running.Load(), "the other attempts are given up")
		require.Equal(b, 1, b.Stat().Open)
		require.NoError(b, b.Stat().LastDialError)
	})
}

// Nobody waits, so there is nothing to hurry for.
func TestOneAttemptWhereNobodyWaits(t *testing.T) {
	var dials atomic.Int32
	inBubbleDialing(t, pipeline.Config{}, noPeer(func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}), func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
		defer cancel()
		b.call(ctx, "request").failed(context.DeadlineExceeded, false)
		time.Sleep(20 * time.Second)
		require.Equal(b, int32(1), dials.Load())
	})
}

// The outcome of an attempt that came too late is closed.
func TestLateAttemptIsClosed(t *testing.T) {
	var dials atomic.Int32
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) == 1 {
			<-ctx.Done() // and connects all the same
		}
		return l.Dial(context.WithoutCancel(ctx))
	}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.reply("reply")
		o.replied("reply")
		_, err := b.accept().Read(make([]byte, 1))
		require.Error(b, err)
		require.Equal(b, 1, b.Stat().Open)
	})
}

// What a Dial does instead of returning is the error of the calls that wait for
// it. It neither ends the process nor keeps later calls from dialing.
func TestPanickingDial(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		dial func()
		want func(t testing.TB, err error)
	}{
		{"panic", func() { panic(boom) }, func(t testing.TB, err error) {
			var e *pipeline.PanicError
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, boom)
			require.Contains(t, string(e.Stack), "TestPanickingDial")
		}},
		{"panic with a text", func() { panic("text") }, func(t testing.TB, err error) {
			require.ErrorContains(t, err, "panic: text")
		}},
		{"Goexit", runtime.Goexit, func(t testing.TB, err error) { require.ErrorContains(t, err, "Goexit") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := true
			inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
				if broken {
					c.dial()
				}
				return l.Dial(ctx)
			}, func(b *bubble) {
				for range 3 {
					o := b.call(bg, "request")
					<-o.done
					c.want(b, o.err)
					require.True(b, o.err.(*pipeline.Error).SafeToRetry())
					time.Sleep(time.Minute)
				}
				broken = false
				b.exchange()
			})
		})
	}
}

// endedContext is a context of a user's own, which panics once it has ended.
type endedContext struct {
	context.Context
	done chan struct{}
}

func (c *endedContext) Done() <-chan struct{} { return c.done }
func (c *endedContext) Value(any) any         { return nil }
func (c *endedContext) Err() error {
	select {
	case <-c.done:
		panic("Err")
	default:
		return nil
	}
}

// A context that panics costs its own call and no other.
func TestContextWhoseErrPanics(t *testing.T) {
	// begin begins a call that panics, and returns its context.
	begin := func(b *bubble) (*endedContext, chan any) {
		ctx, panicked := &endedContext{bg, make(chan struct{})}, make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = b.Call(ctx, []byte("bad"))
		}()
		synctest.Wait()
		return ctx, panicked
	}
	for _, c := range []struct {
		name string
		cfg  pipeline.Config
		f    func(b *bubble)
	}{
		{"ended already", pipeline.Config{}, func(b *bubble) {
			ctx := &endedContext{bg, make(chan struct{})}
			close(ctx.done)
			require.Panics(b, func() { _, _ = b.Call(ctx, nil) })
			b.exchange()
		}},
		{"in the queue for a permit", pipeline.Config{MaxInFlight: 1}, func(b *bubble) {
			first := b.call(bg, "first")
			ctx, panicked := begin(b)
			last := b.call(bg, "last")
			require.Equal(b, 2, b.Stat().Waiting)
			close(ctx.done)
			require.Equal(b, "Err", <-panicked)
			p := b.accept()
			p.asked("first")
			p.reply("reply")
			first.replied("reply")
			p.asked("last")
			p.reply("reply")
			last.replied("reply")
		}},
		{"beside another call", pipeline.Config{StallTimeout: -1}, func(b *bubble) {
			first := b.call(bg, "first")
			ctx, panicked := begin(b)
			close(ctx.done)
			require.Equal(b, "Err", <-panicked)
			p := b.accept()
			p.asked("first")
			p.asked("bad")
			p.reply("reply", "dropped")
			first.replied("reply")
			require.Zero(b, b.Stat().Abandoned)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.cfg, func(b *bubble) {
				c.f(b)
				require.Zero(b, b.Stat().InFlight)
			})
		})
	}
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inBubbleDialing(t, pipeline.Config{}, noPeer(hang), func(b *bubble) {
		ctx, panicked := begin(b)
		close(ctx.done)
		require.Equal(b, "Err", <-panicked)
		require.Zero(b, b.Stat().InFlight)
	})
}

// A nil context panics, as everywhere in the standard library, and costs
// nothing else.
func TestNilContext(t *testing.T) {
	p := open(t, serve(t, echo(framing.Format{})), pipeline.Config{MaxInFlight: 1})
	var none context.Context
	for range 3 {
		require.Panics(t, func() { _, _ = p.Call(none, []byte("nil")) })
		reply, err := p.Call(bg, []byte("hello"))
		require.NoError(t, err)
		require.Equal(t, "hello", string(reply))
	}
	require.Zero(t, p.Stat().InFlight)
}

// Calls that fail for want of a connection are counted, not only the dial.
func TestOutageIsInTheStat(t *testing.T) {
	down := func(context.Context) (net.Conn, error) { return nil, errDown }
	inBubbleDialing(t, pipeline.Config{}, noPeer(down), func(b *bubble) {
		for range 4 {
			b.call(bg, "request").failed(errDown, false)
		}
		s := b.Stat()
		require.Equal(b, uint64(4), s.Failed)
		require.ErrorIs(b, s.LastDialError, errDown)
		require.Zero(b, s.Calls)
	})
}

// Calls that are given up in any order leave the others' requests whole.
func TestWithdrawnInAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		inNarrowBubble(t, 64, func(b *bubble) {
			rng := rand.New(rand.NewPCG(seed, 18))
			first := b.call(bg, "first")
			long := string(make([]byte, 100))
			second := b.call(bg, long) // its write blocks, so those behind it are not written
			var kept, gone []*outcome
			var requests []string // of kept
			var cancels []context.CancelFunc
			for i := range 60 {
				request := string(make([]byte, 1+rng.IntN(40))) + string(rune('a'+i%26))
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				o := b.call(ctx, request)
				if rng.IntN(3) == 0 {
					kept, requests = append(kept, o), append(requests, request)
				} else {
					gone, cancels = append(gone, o), append(cancels, cancel)
				}
			}
			rng.Shuffle(len(cancels), func(i, j int) { cancels[i], cancels[j] = cancels[j], cancels[i] })
			for i, cancel := range cancels {
				cancel()
				if i%7 == 0 { // some come meanwhile
					request := string(make([]byte, 1+rng.IntN(40))) + "!"
					kept, requests = append(kept, b.call(bg, request)), append(requests, request)
				}
			}
			for _, o := range gone {
				o.failed(context.Canceled, false)
			}
			p := b.accept()
			p.asked("first")
			p.asked(long)
			p.reply("1", "2")
			first.replied("1")
			second.replied("2")
			for i, o := range kept {
				p.asked(requests[i])
				p.reply("x")
				o.replied("x")
			}
		})
	}
}

// Calls that time out together return together, however many there are and
// however much they would have written.
func TestMassCancellation(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("holds 64 MB, and 100,000 goroutines")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() // nobody accepts: what is written stays in the socket's buffers
	for _, c := range []struct {
		name        string
		n, size     int
		maxInFlight int
	}{
		{"written by nobody", 4000, 16 << 10, 8000},
		{"wait for a permit", 100_000, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			few := cancelAll(t, l.Addr().String(), c.n/4, c.size, c.maxInFlight)
			all := cancelAll(t, l.Addr().String(), c.n, c.size, c.maxInFlight)
			// Four times as many take 4 times as long; with quadratic time, 16 times.
			require.Less(t, all, 10*few+time.Second)
		})
	}
}

// cancelAll returns how long n calls take to return once they are canceled, the newest
// first. Nobody reads what they write.
func cancelAll(t *testing.T, addr string, n, size, maxInFlight int) time.Duration {
	p := openTo(t, conn.Target{Address: addr}, framing.Format{HeaderSize: 4},
		pipeline.Config{StallTimeout: -1, MaxInFlight: maxInFlight})
	defer p.Close()
	ctx, stop := context.WithCancel(bg)
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = p.Call(ctx, make([]byte, 8<<20)) }) // its write blocks
	for p.Stat().InFlight == 0 {
		runtime.Gosched()
	}
	cancels := make([]context.CancelFunc, n)
	request := make([]byte, size)
	for i := range n {
		var each context.Context
		each, cancels[i] = context.WithCancel(bg)
		calls.Go(func() { _, _ = p.Call(each, request) })
	}
	for s := p.Stat(); s.InFlight+s.Waiting <= n; s = p.Stat() {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	for _, cancel := range slices.Backward(cancels) {
		cancel()
	}
	stop()
	calls.Wait()
	took := time.Since(start)
	t.Logf("%d calls of %d bytes: %v, %v each", n, size, took, took/time.Duration(n))
	return took
}
