package pipeline_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestCloseDrains(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		abandoned := b.call(ctx, "abandoned")
		p := b.accept()
		p.asked("abandoned")
		first := b.call(bg, "first")
		second := b.call(bg, "second")
		cancel()
		abandoned.failed(context.Canceled, true)

		closed := make(chan error, 2)
		for range 2 {
			go func() { closed <- b.Shutdown(bg) }()
		}
		synctest.Wait()
		late := b.call(bg, "late")
		late.failed(pipeline.ErrClosed, false)
		require.ErrorIs(b, late.err, net.ErrClosed)
		require.False(b, late.err.(*pipeline.Error).SafeToRetry(), "nothing to be gained")
		require.Empty(b, closed)
		p.asked("first")
		p.asked("second")
		p.reply("to abandoned", "to first")
		first.replied("to first")
		require.Empty(b, closed)
		p.reply("to second")
		second.replied("to second")
		require.NoError(b, <-closed)
		require.NoError(b, <-closed)
		require.Equal(b, pipeline.Ends{pipeline.Closed: 1}, b.Stat().Ends)
	})
}

// Nobody waits for a reply that only an abandoned call would get.
func TestCloseDoesNotWaitForAbandonedCalls(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		o := b.call(ctx, "request")
		b.accept().asked("request")
		cancel()
		o.failed(context.Canceled, true)
		start := time.Now()
		require.NoError(b, b.Shutdown(bg))
		require.Zero(b, time.Since(start))
		require.Zero(b, b.Stat().InFlight)
	})
}

func TestCloseCutsOff(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		first := b.call(bg, "first")
		second := b.call(bg, "second")
		p := b.accept()
		p.asked("first")
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		require.ErrorIs(b, b.Shutdown(ctx), context.DeadlineExceeded)
		first.failed(pipeline.ErrClosed, true)
		second.failed(pipeline.ErrClosed, true)
		require.NoError(b, b.Shutdown(bg), "all is closed")
	})
}

func TestCloseWakesWhoWaits(t *testing.T) {
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inBubbleDialing(t, pipeline.Config{MaxInFlight: 1}, noPeer(hang), func(b *bubble) {
		dialing := b.call(bg, "dialing")
		queued := b.call(bg, "queued")
		require.Equal(b, 1, b.Stat().Waiting)
		require.NoError(b, b.Shutdown(bg))
		dialing.failed(pipeline.ErrClosed, false)
		queued.failed(pipeline.ErrClosed, false)
		require.Zero(b, b.Stat().Waiting)
	})
}

func TestCloseIsAtOnce(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		o := b.call(bg, "request")
		b.accept().asked("request")
		start := time.Now()
		require.NoError(b, b.Close())
		o.failed(pipeline.ErrClosed, true)
		require.Zero(b, time.Since(start))
		require.NoError(b, b.Close())
	})
}

func TestCloseUnused(t *testing.T) {
	p, err := pipeline.New(conn.Target{Address: "127.0.0.1:1"}, framing.Format{}, pipeline.Config{})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.NoError(t, p.Shutdown(bg))
}

func TestMaxInFlight(t *testing.T) {
	inBubble(t, pipeline.Config{MaxInFlight: 2, MaxWaiters: 3}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		first := b.call(ctx, "first")
		p := b.accept()
		p.asked("first")
		second := b.call(bg, "second")
		third := b.call(bg, "third")
		gone := b.call(ctx, "gone")
		fourth := b.call(bg, "fourth")
		require.Equal(b, 3, b.Stat().Waiting)
		fifth := b.call(bg, "fifth")
		fifth.failed(pipeline.ErrTooManyWaiters, false)
		var late net.Error
		require.ErrorAs(b, fifth.err, &late)
		require.True(b, late.Timeout(), "as with a pool")
		cancel()
		first.failed(context.Canceled, true)
		gone.failed(context.Canceled, false)
		third.pending() // the abandoned call still has its permit
		p.reply("to first")
		p.asked("second")
		p.asked("third")
		fourth.pending()
		p.reply("to second", "to third")
		second.replied("to second")
		third.replied("to third")
		p.asked("fourth")
		p.reply("to fourth")
		fourth.replied("to fourth")
	})
}

func TestNobodyMayWait(t *testing.T) {
	inBubble(t, pipeline.Config{MaxInFlight: 1, MaxWaiters: -1}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		b.call(bg, "another").failed(pipeline.ErrTooManyWaiters, false)
		p.reply("reply")
		o.replied("reply")
	})
}
