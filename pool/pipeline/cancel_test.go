package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestCancelledReplyIsDropped(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		first := b.call(ctx, "first")
		p := b.accept()
		p.asked("first")
		second := b.call(bg, "second")
		p.asked("second")
		cancel()
		first.failed(context.Canceled, true)
		third := b.call(bg, "third")
		p.asked("third")
		require.Equal(b, 3, b.Stat().InFlight, "the abandoned call keeps its slot")
		require.Equal(b, 1, b.Stat().Abandoned)
		p.reply("to first", "to second", "to third")
		second.replied("to second")
		third.replied("to third")
		require.Zero(b, b.Stat().Abandoned)
		s := b.Stat()
		require.Equal(b, uint64(1), s.Late)
		require.Equal(b, uint64(1), s.Canceled)
		require.Equal(b, uint64(2), s.Replies)
		require.Equal(b, uint64(1), s.Dials)
	})
}

// The lone caller's read has its own way to end.
func TestCancelledLoneCall(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		{"cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(bg)
			time.AfterFunc(time.Minute, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"deadline", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(bg, time.Minute)
		}, context.DeadlineExceeded},
		{"cause", func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(bg, time.Minute, errCause)
		}, errCause},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, pipeline.Config{StallTimeout: -1}, func(b *bubble) {
				p := b.exchange()
				ctx, cancel := c.ctx()
				defer cancel()
				start := time.Now()
				alone := b.call(ctx, "alone")
				p.asked("alone")
				// Half a reply, which must not be lost.
				p.raw([]byte{0, 4, 'l', 'a'})
				alone.failed(c.want, true)
				require.Equal(b, time.Minute, time.Since(start))
				require.ErrorIs(b, alone.err, ctx.Err())
				require.Equal(b, errors.Is(ctx.Err(), context.DeadlineExceeded), alone.err.(*pipeline.Error).Timeout())

				next := b.call(bg, "next")
				p.asked("next")
				p.raw([]byte("te"))
				next.pending()
				p.reply("next")
				next.replied("next")
			})
		})
	}
}

var errCause = errors.New("why")

func TestEndedContext(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		cancel()
		b.call(ctx, "never").failed(context.Canceled, false)
		require.Zero(b, b.Stat().Dials)
	})
}

// A call that nobody has begun to write leaves no trace when it is cancelled.
func TestCancelledBeforeWriting(t *testing.T) {
	inBubble(t, pipeline.Config{StallTimeout: -1}, func(b *bubble) {
		big := make([]byte, 60_000) // several fill the peer's buffer
		first := b.call(bg, string(big))
		second := b.call(bg, string(big))
		third := b.call(bg, string(big))
		ctx, cancel := context.WithCancel(bg)
		kept := b.call(bg, "kept")
		gone := b.call(ctx, "gone")
		last := b.call(bg, "last")
		cancel()
		gone.failed(context.Canceled, false)

		p := b.accept()
		for range 3 {
			p.asked(string(big))
		}
		p.asked("kept")
		p.asked("last")
		p.reply("1", "2", "3", "to kept", "to last")
		for i, o := range []*outcome{first, second, third} {
			o.replied(string(rune('1' + i)))
		}
		kept.replied("to kept")
		last.replied("to last")
		require.Zero(b, b.Stat().Abandoned)
	})
}

// The first of those that wait to be written is no exception.
func TestCancelledBehindABlockedWrite(t *testing.T) {
	inNarrowBubble(t, 64, func(b *bubble) {
		first := b.call(bg, "first")
		long := string(make([]byte, 100))
		second := b.call(bg, long)
		ctx, cancel := context.WithCancel(bg)
		gone := b.call(ctx, "gone")
		last := b.call(bg, "last")
		cancel()
		gone.failed(context.Canceled, false)
		p := b.accept()
		p.asked("first")
		p.asked(long)
		p.asked("last")
		p.reply("1", "2", "3")
		first.replied("1")
		second.replied("2")
		last.replied("3")
	})
}

// A lone caller whose write blocks is let go, and what it has begun to write
// is finished without it.
func TestCancelledInTheMiddleOfAWrite(t *testing.T) {
	inNarrowBubble(t, 8, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		cut := b.call(ctx, "more than eight bytes")
		cut.pending()
		cancel()
		cut.failed(context.Canceled, true)
		synctest.Wait() // the rest is being written now
		ctx, cancel = context.WithCancel(bg)
		gone := b.call(ctx, "gone")
		next := b.call(bg, "next")
		cancel()
		gone.failed(context.Canceled, false)
		p := b.accept()
		p.asked("more than eight bytes")
		p.asked("next")
		p.reply("dropped")
		p.reply("to next")
		next.replied("to next")
		require.Equal(b, uint64(1), b.Stat().Dials)
	})
}

func TestStallEndsTheConnection(t *testing.T) {
	for _, c := range []struct {
		name  string
		quiet bool   // the connection's goroutine reads from the beginning
		sent  []byte // of the reply
		after time.Duration
	}{
		{"the first call was alone", false, nil, 10 * time.Second},
		{"the goroutine reads", true, nil, 10 * time.Second},
		{"in the middle of the reply", false, []byte{0}, 10*time.Second + 500*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, pipeline.Config{StallTimeout: 10 * time.Second}, func(b *bubble) {
				p := b.exchange()
				if c.quiet {
					quiet()
				}
				ctx, cancel := context.WithTimeout(bg, time.Second)
				defer cancel()
				first := b.call(ctx, "first")
				p.asked("first")
				second := b.call(bg, "second")
				first.failed(context.DeadlineExceeded, true)
				left := time.Now()
				synctest.Wait()
				p.raw(c.sent)
				second.failed(pipeline.ErrStalled, true)
				require.InDelta(b, c.after, time.Since(left), float64(500*time.Millisecond), "it is looked at twice a second")
				synctest.Wait()
				require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
			})
		})
	}
}

// What was abandoned while a lone caller read is watched once that has left.
func TestStallBehindALoneCall(t *testing.T) {
	inBubble(t, pipeline.Config{StallTimeout: 10 * time.Second}, func(b *bubble) {
		p := b.exchange()
		alone := b.call(bg, "alone")
		ctx, cancel := context.WithCancel(bg)
		gone := b.call(ctx, "gone")
		last := b.call(bg, "last")
		p.asked("alone")
		p.asked("gone")
		cancel()
		gone.failed(context.Canceled, true)
		p.reply("to alone")
		alone.replied("to alone")
		left := time.Now()
		last.failed(pipeline.ErrStalled, true)
		require.InDelta(b, 10*time.Second, time.Since(left), float64(500*time.Millisecond))
	})
}

// Patience has no end while the oldest call is waited for, or bytes come.
func TestNoStall(t *testing.T) {
	inBubble(t, pipeline.Config{StallTimeout: 10 * time.Second, MaxLifetime: -1}, func(b *bubble) {
		p := b.exchange()
		quiet() // from now on the connection's goroutine reads
		patient := b.call(bg, "patient")
		p.asked("patient")
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		b.call(ctx, "impatient").failed(context.DeadlineExceeded, true)
		time.Sleep(time.Hour)
		patient.pending()
		p.reply("to patient")
		patient.replied("to patient")

		// Now the oldest is abandoned, and its reply trickles in.
		for _, b := range []byte{0, 3, 'a', 'b', 'c'} {
			time.Sleep(8 * time.Second)
			p.raw([]byte{b})
		}
		time.Sleep(time.Second) // it is trusted again
		later := b.call(bg, "later")
		p.asked("impatient")
		p.asked("later")
		p.reply("to later")
		later.replied("to later")
		time.Sleep(time.Hour)
		require.Equal(b, 1, b.Stat().Open, "a stall's deadline does not outlive it")
	})
}
