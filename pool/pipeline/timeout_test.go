package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// limited is a Config whose calls end after a minute, and whose connections stay.
var limited = pipeline.Config{CallTimeout: time.Minute, StallTimeout: -1, MaxLifetime: -1}

// over requires a call that began at begun to have been ended by a CallTimeout
// of a minute: not before, and an eighth later at most.
func (o *outcome) over(begun time.Time, written bool) {
	o.Helper()
	o.failed(pipeline.ErrCallTimeout, written)
	took := o.ended.Sub(begun)
	require.GreaterOrEqual(o, took, time.Minute)
	require.LessOrEqual(o, took, time.Minute+time.Minute/8)
	require.ErrorIs(o, o.err, context.DeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(o, o.err, &timeout)
	require.True(o, timeout.Timeout())
}

func TestCallTimeoutOfALoneCall(t *testing.T) {
	for name, canEnd := range map[string]bool{"background": false, "can end": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limited, func(b *bubble) {
				ctx := bg
				if canEnd {
					ctx = b.Context()
				}
				p := b.exchange()
				for range 3 { // the first finds tend asleep, or not
					begun := time.Now()
					alone := b.call(ctx, "alone")
					p.asked("alone")
					p.raw([]byte{0, 4, 'l', 'a'}) // half a reply, which must not be lost
					alone.over(begun, true)
					require.Equal(b, 1, b.Stat().Abandoned)

					next := b.call(bg, "next")
					p.asked("next")
					p.raw([]byte("te"))
					next.pending()
					p.reply("to next")
					next.replied("to next")
					require.Zero(b, b.Stat().Abandoned)
				}
				s := b.Stat()
				require.Equal(b, uint64(3), s.Timeouts)
				require.Equal(b, uint64(3), s.Canceled)
				require.Equal(b, uint64(3), s.Late)
				require.Zero(b, s.Failed)
				require.Equal(b, uint64(1), s.Dials)
			})
		})
	}
}

// Each of the calls on a connection has its own time, in either order of replies.
func TestCallTimeoutOfManyCalls(t *testing.T) {
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": twoBytes} {
		t.Run(name, func(t *testing.T) {
			cfg := limited
			cfg.Match = match
			inBubble(t, cfg, func(b *bubble) {
				var calls []*outcome
				var begun []time.Time
				for i := range 100 {
					begun = append(begun, time.Now())
					calls = append(calls, b.call(bg, numbered(i, "x")))
					time.Sleep(time.Second)
				}
				ctx, cancel := context.WithTimeout(bg, time.Hour)
				defer cancel()
				patient := b.call(ctx, numbered(100, "patient"))
				p := b.accept()
				numbers := make([]int, 100)
				for i := range numbers {
					numbers[i] = p.askedNumbered("x")
				}
				last := p.askedNumbered("patient")
				for i, o := range calls {
					o.over(begun[i], true)
				}
				time.Sleep(10 * time.Minute)
				require.Equal(b, 101, b.Stat().InFlight, "the others keep their places")
				for _, n := range numbers {
					p.reply(numbered(n, "too late"))
				}
				patient.pending()
				p.reply(numbered(last, "in time"))
				<-patient.done
				require.NoError(b, patient.err)
				require.Equal(b, "in time", patient.reply[2:])
				require.Equal(b, uint64(100), b.Stat().Late)
			})
		})
	}
}

// A context with a deadline of its own is not limited further, and one without
// can still end.
func TestCallTimeoutAndContexts(t *testing.T) {
	inBubble(t, limited, func(b *bubble) {
		p := b.exchange()
		long, cancel := context.WithTimeout(bg, time.Hour)
		defer cancel()
		short, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		stopped, stop := context.WithCancel(bg)
		patient := b.call(long, "patient")
		p.asked("patient")
		begun := time.Now()
		b.call(short, "short").failed(context.DeadlineExceeded, true)
		require.Equal(b, time.Second, time.Since(begun))
		ends := b.call(stopped, "ends")
		stop()
		ends.failed(context.Canceled, true)
		time.Sleep(20 * time.Minute)
		patient.pending()
		p.asked("short")
		p.asked("ends")
		p.reply("to patient", "late", "late")
		patient.replied("to patient")
	})
}

// The time to get a permit, or a connection, counts.
func TestCallTimeoutWhileWaiting(t *testing.T) {
	cfg := limited
	cfg.MaxInFlight = 1
	inBubble(t, cfg, func(b *bubble) {
		p := b.exchange()
		ctx, cancel := context.WithTimeout(bg, 30*time.Second)
		defer cancel()
		first := b.call(ctx, "first")
		p.asked("first")
		begun := time.Now()
		second := b.call(bg, "second")
		third := b.call(bg, "third")
		first.failed(context.DeadlineExceeded, true)
		p.reply("late")
		p.asked("second")
		second.over(begun, true)
		third.over(begun, false)
		require.Equal(b, "wait", third.err.(*pipeline.Error).Op)
		require.Zero(b, b.Stat().Waiting)
		p.reply("late")
		require.Equal(b, uint64(3), b.Stat().Timeouts)
	})
	slow := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	cfg.DialTimeout = time.Hour
	setup{cfg: cfg, dial: noPeer(slow)}.run(t, func(b *bubble) {
		begun := time.Now()
		o := b.call(bg, "x")
		o.over(begun, false)
		require.Equal(b, "dial", o.err.(*pipeline.Error).Op)
		require.NoError(b, b.Close())
	})
}

// A call that another connection takes over does not begin anew.
func TestCallTimeoutOfAMovedCall(t *testing.T) {
	cfg := limited
	cfg.Goodbye = []byte("goodbye")
	inBubble(t, cfg, func(b *bubble) {
		p := b.exchange()
		begun := time.Now()
		o := b.call(bg, "x")
		p.asked("x")
		time.Sleep(40 * time.Second)
		p.reply("goodbye")
		p = b.accept()
		p.asked("x")
		o.over(begun, true)
	})
}

// A call behind a write that blocks has not been sent. One whose own write
// blocks may have been, and the rest of it follows.
func TestCallTimeoutBehindABlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 16)}
		b.run(b.narrow(8), limited, func(b *bubble) {
			begun := time.Now()
			cut := b.call(bg, "more than eight bytes")
			cut.over(begun, true)
			synctest.Wait() // the rest is being written now
			begun = time.Now()
			gone := b.call(bg, "gone")
			gone.over(begun, false)
			next := b.call(bg, "next")
			p := b.accept()
			p.asked("more than eight bytes")
			p.asked("next")
			p.reply("dropped", "to next")
			next.replied("to next")
			require.Equal(b, uint64(1), b.Stat().Dials)
		})
	})
}

// A reply that comes when the call's time is over is the call's, or is dropped;
// it is never another's.
func TestCallTimeoutWithTheReply(t *testing.T) {
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": twoBytes} {
		t.Run(name, func(t *testing.T) {
			cfg := limited
			cfg.Match = match
			inBubble(t, cfg, func(b *bubble) {
				var callers, peer sync.WaitGroup
				var replied, ended atomic.Int64
				for i := range 20 {
					callers.Go(func() {
						for j := range 50 {
							want := numbered(i, strconv.Itoa(j))
							reply, err := b.Call(bg, []byte(want))
							switch {
							case err == nil && string(reply) == want:
								replied.Add(1)
							case errors.Is(err, pipeline.ErrCallTimeout):
								ended.Add(1)
							case errors.Is(err, pipeline.ErrOverloaded): // not sent
							default:
								b.Errorf("%q, %v to %q", reply, err, want)
							}
							time.Sleep(rand.N(10 * time.Second))
						}
					})
				}
				p := b.accept()
				peer.Go(func() { p.echoAfter(time.Minute-time.Minute/32, time.Minute/8) })
				callers.Wait()
				require.NoError(b, b.Close())
				peer.Wait()
				require.NotZero(b, replied.Load())
				require.NotZero(b, ended.Load())
			})
		})
	}
}

// echoAfter replies to each request with itself, in order, after least and up to
// most more, until the connection ends.
func (p *peer) echoAfter(least, most time.Duration) {
	type request struct {
		at    time.Time
		frame string
	}
	requests := make(chan request, 4096)
	var replies sync.WaitGroup
	replies.Go(func() {
		for r := range requests {
			time.Sleep(time.Until(r.at.Add(least + rand.N(most))))
			b, _ := framing.Format{}.Append(nil, []byte(r.frame))
			_, _ = p.Write(b)
		}
	})
	for {
		frame, err := p.frames.Next()
		if err != nil {
			break
		}
		requests <- request{time.Now(), string(frame)}
	}
	close(requests)
	replies.Wait()
}
