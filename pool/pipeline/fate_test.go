package pipeline_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// A heartbeat that waits for its reply is no call.
func TestHeartbeatIsNotInFlight(t *testing.T) {
	inBubble(t, pipeline.Config{Heartbeat: beat, StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		time.Sleep(beat.Interval + time.Second)
		p.asked("??ping")
		conns := slices.Collect(b.Conns())
		require.Len(b, conns, 1)
		require.Zero(b, conns[0].InFlight)
		require.Zero(b, conns[0].Abandoned)
		require.Zero(b, b.Stat().InFlight)
	})
}

// A call that ends while it waits for a connection beside a silent one is not put on
// that one: its request stays unwritten.
func TestGivingUpBesideASilentConnection(t *testing.T) {
	var dials atomic.Int64
	inBubbleDialing(t, pipeline.Config{MaxConns: 1, CallTimeout: 16 * time.Second}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) > 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return l.Dial(ctx)
	}, func(b *bubble) {
		b.exchange()
		patient, cancel := context.WithTimeout(bg, time.Hour) // in place of CallTimeout
		defer cancel()
		slow := b.call(patient, "slow")
		time.Sleep(3 * time.Second) // no reply for more than a tenth of StallTimeout
		require.True(b, slices.Collect(b.Conns())[0].Silent)
		inDial := func(o *outcome, cause error) {
			o.failed(cause, false)
			require.Equal(b, "dial", o.err.(*pipeline.Error).Op, "no connection has had it")
		}
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		inDial(b.call(ctx, "brief"), context.DeadlineExceeded)
		inDial(b.call(bg, "too long"), pipeline.ErrCallTimeout)
		slow.pending()
		closing := b.call(bg, "closed meanwhile")
		go b.Close()
		closing.failed(pipeline.ErrClosed, false)
		synctest.Wait()
	})
}

// What says that the pipeline is full says that it will pass.
func TestTooManyWaitersIsTemporary(t *testing.T) {
	for _, err := range []error{pipeline.ErrTooManyWaiters, pipeline.ErrOverloaded} {
		e, ok := err.(interface {
			Temporary() bool
			Timeout() bool
			SafeToRetry() bool
		})
		require.True(t, ok)
		require.True(t, e.Temporary() && e.Timeout() && e.SafeToRetry(), err)
	}
}
