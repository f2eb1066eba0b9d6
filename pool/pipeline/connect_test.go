package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

var errDown = errors.New("down")

func TestDialBackoff(t *testing.T) {
	var dials []time.Time
	inBubbleDialing(t, pipeline.Config{}, noPeer(func(context.Context) (net.Conn, error) {
		dials = append(dials, time.Now())
		return nil, errDown
	}), func(b *bubble) {
		start := time.Now()
		for range 10_000 {
			b.call(bg, "request").failed(errDown, false)
			time.Sleep(10 * time.Millisecond)
		}
		require.ErrorIs(b, b.Stat().LastDialError, errDown)
		text, err := json.Marshal(b.Stat().LastDialError)
		require.NoError(b, err)
		require.JSONEq(b, strconv.Quote(b.Stat().LastDialError.Error()), string(text))
		for i := range dials[3:] {
			outage, gap := dials[i+2].Sub(start), dials[i+3].Sub(dials[i+2])
			require.LessOrEqual(b, gap, max(outage/20, 10*time.Millisecond)+10*time.Millisecond)
			require.LessOrEqual(b, gap, time.Second+10*time.Millisecond)
		}
		require.Less(b, len(dials), 400, "a pause grows with the outage")
		require.Equal(b, uint64(len(dials)), b.Stat().DialErrors)
		b.call(bg, "request").failed(errDown, false) // it dials if a pause has just ended
		o := b.call(bg, "request")
		<-o.done
		var backoff *conn.BackoffError
		require.ErrorAs(b, o.err, &backoff)
		require.Positive(b, backoff.RetryAfter())
	})
}

// switched is a dial to the peer that can be made to fail.
type switched struct {
	down  atomic.Bool
	dials atomic.Int32
}

func (s *switched) dial(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
	s.dials.Add(1)
	if s.down.Load() {
		return nil, errDown
	}
	return l.Dial(ctx)
}

func TestRecoveryResetsTheBackoff(t *testing.T) {
	s := &switched{}
	s.down.Store(true)
	inBubbleDialing(t, pipeline.Config{DialBackoff: conn.DialBackoff{After: 1, Min: time.Second}}, s.dial, func(b *bubble) {
		for range 5 {
			b.call(bg, "request").failed(errDown, false)
			time.Sleep(time.Minute)
		}
		s.down.Store(false)
		p := b.exchange()
		require.False(b, b.Stat().Suspended)
		require.True(b, b.Stat().SuspendedUntil.IsZero())
		p.Close()
		quiet()
		require.Zero(b, b.Stat().Open)
		require.NoError(b, b.Stat().LastDialError)
		s.down.Store(true)
		b.call(bg, "request").failed(errDown, false)
		time.Sleep(time.Second + 1) // the first step again
		s.down.Store(false)
		b.exchange()
	})
}

func TestNoBackoff(t *testing.T) {
	dials := 0
	inBubbleDialing(t, pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		noPeer(func(context.Context) (net.Conn, error) { dials++; return nil, errDown }), func(b *bubble) {
			for range 10 {
				b.call(bg, "request").failed(errDown, false)
			}
			require.Equal(b, 10, dials)
		})
}

// Callers share a dial, are not held longer than their contexts, and the dial
// goes on for the others.
func TestCallersShareADial(t *testing.T) {
	dials := 0
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		dials++
		time.Sleep(300 * time.Millisecond)
		return l.Dial(ctx)
	}, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		hasty := b.call(ctx, "hasty")
		patient := b.call(bg, "patient")
		require.True(b, b.Stat().Dialing)
		hasty.failed(context.DeadlineExceeded, false)
		p := b.accept()
		p.asked("patient")
		p.reply("reply")
		patient.replied("reply")
		require.Equal(b, 1, dials)
	})
}

func TestDialTimeout(t *testing.T) {
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inBubbleDialing(t, pipeline.Config{DialTimeout: time.Minute}, noPeer(hang), func(b *bubble) {
		start := time.Now()
		o := b.call(bg, "request")
		o.failed(context.DeadlineExceeded, false)
		require.True(b, o.err.(net.Error).Timeout())
		require.Equal(b, time.Minute, time.Since(start))
	})
	inBubbleDialing(t, pipeline.Config{DialTimeout: -1}, noPeer(hang), func(b *bubble) {
		o := b.call(bg, "request")
		time.Sleep(time.Hour)
		o.pending()
		go func() { _ = b.Shutdown(bg) }()
		o.failed(pipeline.ErrClosed, false)
	})
}

func TestDialReturnsNothing(t *testing.T) {
	nothing := func(context.Context) (net.Conn, error) { return nil, nil }
	inBubbleDialing(t, pipeline.Config{}, noPeer(nothing), func(b *bubble) {
		o := b.call(bg, "request")
		<-o.done
		require.ErrorContains(b, o.err, "neither a connection nor an error")
	})
}

// What a connection of package conn has in its buffer is not lost.
func TestDialReturnsAConn(t *testing.T) {
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		if err != nil {
			return nil, err
		}
		c := conn.New(nc)
		_, err = c.Peek(1)
		return c, err
	}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.raw([]byte{0}) // half a header, which the dial sees
		p.asked("request")
		p.raw([]byte("\x05reply"))
		o.replied("reply")
	})
}

// More connections are dialed while the ones there are busy, and the least
// loaded gets the call.
func TestSeveralConnections(t *testing.T) {
	inBubble(t, pipeline.Config{MaxConns: 3}, func(b *bubble) {
		var calls []*outcome
		for i := range 9 {
			calls = append(calls, b.call(bg, string(rune('a'+i))))
		}
		require.Equal(b, 3, b.Stat().Open)
		total := 0
		for range 3 {
			p := b.accept()
			n := 0
			for range 3 {
				frame, err := p.frames.Next()
				require.NoError(b, err)
				p.reply(string(frame))
				n++
			}
			total += n
		}
		for i, o := range calls {
			o.replied(string(rune('a' + i)))
		}
		require.Equal(b, 9, total)
		require.Equal(b, 3, b.Stat().Open)
	})
}

// A dial for growth that fails is no caller's error.
func TestGrowthFails(t *testing.T) {
	s := &switched{}
	inBubbleDialing(t, pipeline.Config{MaxConns: 2, DialBackoff: conn.DialBackoff{After: 1, Min: time.Second}}, s.dial, func(b *bubble) {
		first := b.call(bg, "first")
		s.down.Store(true)
		second := b.call(bg, "second")
		third := b.call(bg, "third")
		p := b.accept()
		p.asked("first")
		p.asked("second")
		p.asked("third")
		p.reply("1", "2", "3")
		first.replied("1")
		second.replied("2")
		third.replied("3")
		require.Equal(b, int32(2), s.dials.Load())
	})
}

// That a connection never brought a reply is known before its call is told: the next
// call does not dial once more.
func TestConnectionWithoutReplyIsCountedFirst(t *testing.T) {
	for range 500 {
		cfg := pipeline.Config{DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour, Max: time.Hour}}
		inBubble(t, cfg, func(b *bubble) {
			go func() {
				p := b.accept()
				p.asked("request")
				_ = p.Close()
			}()
			_, err := b.Call(bg, []byte("request"))
			require.Error(b, err)
			require.Equal(b, pipeline.Ends{pipeline.PeerClosed: 1}, b.Stat().Ends)
			_, err = b.Call(bg, []byte("request"))
			require.ErrorContains(b, err, "dial")
			require.Equal(b, uint64(1), b.Stat().Dials)
		})
	}
}

// A dial that fails is no longer why calls fail once a connection brings a reply, and
// failures with successes between are not in a row.
func TestReplyEndsTheFailures(t *testing.T) {
	s := &switched{}
	cfg := pipeline.Config{MaxConns: 2, DialBackoff: conn.DialBackoff{After: 1, Min: time.Second}}
	inBubbleDialing(t, cfg, s.dial, func(b *bubble) {
		for range 10 {
			s.down.Store(true)
			b.call(bg, "request").failed(errDown, false)
			require.ErrorIs(b, b.Stat().LastDialError, errDown)
			s.down.Store(false)
			time.Sleep(time.Second + 1)
			p := b.exchange()
			require.NoError(b, b.Stat().LastDialError)
			s.down.Store(true)
			first, second := b.call(bg, "first"), b.call(bg, "second") // the second wants another connection
			require.ErrorIs(b, b.Stat().LastDialError, errDown)
			p.asked("first")
			p.asked("second")
			p.reply("1", "2")
			first.replied("1")
			second.replied("2")
			require.ErrorIs(b, b.Stat().LastDialError, errDown, "only a new connection can say that dials succeed")
			p.Close()
			quiet()
		}
	})
}
