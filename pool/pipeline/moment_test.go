package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// hostile is a context of a user's own that ends, and panics, when it is asked to tell
// of its end.
type hostile struct {
	context.Context
	done chan struct{}
}

func (c hostile) Done() <-chan struct{} { return c.done }

func (c hostile) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func (c hostile) AfterFunc(func()) func() bool {
	close(c.done)
	panic("AfterFunc")
}

// A context that panics in the middle of a call still ends that call, and no other.
func TestContextWhoseAfterFuncPanics(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		p := b.exchange()
		for range 3 {
			given := b.call(hostile{bg, make(chan struct{})}, "given up")
			given.fails(context.Canceled)
			var e *pipeline.Error
			require.ErrorAs(b, given.err, &e)
			if e.Written { // what was cut short may go on before the call hears of its end
				p.asked("given up")
				p.reply("late")
			}
			o := b.call(bg, "next")
			p.asked("next")
			p.reply("to next")
			o.replied("to next")
		}
		require.Equal(b, uint64(1), b.Stat().Dials)
		require.Equal(b, uint64(3), b.Stat().Canceled)
	})
}

// StallTimeout counts from the moment when the oldest call was given up, not from when
// the connection is looked at the next time, and is kept to the moment.
func TestStallCountsFromTheMoment(t *testing.T) {
	const limit = 100500 * time.Millisecond // no number of looks
	inBubble(t, pipeline.Config{StallTimeout: limit, MaxLifetime: -1}, func(b *bubble) {
		p := b.exchange()
		for range 2 { // a stall that ends in time, and one that does not
			zero := b.call(bg, "zero")
			ctx, cancel := context.WithTimeout(bg, 1370*time.Millisecond)
			defer cancel()
			first := b.call(ctx, "first")
			second := b.call(bg, "second")
			for _, name := range []string{"zero", "first", "second"} {
				p.asked(name)
			}
			time.Sleep(1350 * time.Millisecond)
			p.reply("to zero") // the last that is heard before the stall
			zero.replied("to zero")
			first.failed(context.DeadlineExceeded, true)
			left := time.Now()
			time.Sleep(99 * time.Second)
			if b.Stat().Late == 0 {
				p.reply("late", "to second")
				second.replied("to second")
				quiet() // it is trusted again
				continue
			}
			second.failed(pipeline.ErrStalled, true)
			require.Equal(b, limit, second.ended.Sub(left))
		}
	})
}

// A connection that is to end does so when its last caller gives up.
func TestLeavingConnectionEndsWithItsLastCaller(t *testing.T) {
	inBubble(t, pipeline.Config{StallTimeout: -1}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		first, second := b.call(ctx, "first"), b.call(ctx, "second")
		b.accept()
		for c := range b.Conns() {
			require.True(b, b.EvictConn(c.ID))
		}
		time.Sleep(time.Hour)
		require.Zero(b, b.Stat().Ends)
		cancel()
		first.failed(context.Canceled, true)
		second.failed(context.Canceled, true)
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.Evicted: 1}, b.Stat().Ends)
	})
}

// A call that its context and CallTimeout end at the same moment is given up once.
func TestCallTimeoutAndCancelAtOnce(t *testing.T) {
	cfg := limited
	cfg.CallTimeout = 16 * time.Second
	inBubble(t, cfg, func(b *bubble) {
		p := b.exchange()
		for range 100 {
			alone := b.call(bg, "alone") // the goroutine reads for the others
			var calls []*outcome
			for i := range 8 { // CallTimeout ends them after 16 s or 17 s
				ctx, cancel := context.WithCancel(bg)
				stop := time.AfterFunc(16*time.Second+time.Duration(i/4)*time.Second, cancel)
				defer stop.Stop()
				defer cancel()
				calls = append(calls, b.call(ctx, "ended"))
			}
			p.asked("alone")
			for _, o := range calls {
				p.asked("ended")
				<-o.done
				require.Error(b, o.err)
			}
			<-alone.done
			require.Equal(b, 9, b.Stat().Abandoned)
			p.reply("1", "2", "3", "4", "5", "6", "7", "8", "9")
			require.Zero(b, b.Stat().Abandoned)
			require.Zero(b, b.Stat().InFlight)
		}
	})
}
