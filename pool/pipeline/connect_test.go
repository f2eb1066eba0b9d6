package pipeline_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

var errDown = errors.New("down")

func TestDialBackoff(t *testing.T) {
	var dials []time.Time
	inBubble(t, pipeline.Config{
		Dial: func(context.Context) (net.Conn, error) {
			dials = append(dials, time.Now())
			return nil, errDown
		},
		DialBackoff: pipeline.DialBackoff{Min: time.Second, Max: 8 * time.Second},
	}, func(b *bubble) {
		for range 10_000 {
			b.call(bg, "request").failed(errDown, false)
			time.Sleep(10 * time.Millisecond)
		}
		require.ErrorIs(b, b.Stat().LastDialError, errDown)
		for i := range dials[1:] {
			step := min(time.Second<<i, 8*time.Second)
			gap := dials[i+1].Sub(dials[i])
			require.GreaterOrEqual(b, gap, step/2)
			require.LessOrEqual(b, gap, step+10*time.Millisecond)
		}
		require.Equal(b, uint64(len(dials)), b.Stat().DialErrors)
	})
}

func TestRecoveryResetsTheBackoff(t *testing.T) {
	var l *memnet.Listener
	down := true
	inBubble(t, pipeline.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			if down {
				return nil, errDown
			}
			return l.Dial(ctx)
		},
		DialBackoff: pipeline.DialBackoff{Min: time.Second},
	}, func(b *bubble) {
		l = b.net
		for range 5 {
			b.call(bg, "request").failed(errDown, false)
			time.Sleep(time.Minute)
		}
		down = false
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.answer("reply")
		o.replied("reply")
		p.Close()
		quiet()
		require.Zero(b, b.Stat().Open)
		require.NoError(b, b.Stat().LastDialError)
		down = true
		b.call(bg, "request").failed(errDown, false)
		time.Sleep(time.Second + 1)
		down = false
		o = b.call(bg, "request") // the first step again
		p = b.accept()
		p.asked("request")
		p.answer("reply")
		o.replied("reply")
	})
}

func TestNoBackoff(t *testing.T) {
	dials := 0
	inBubble(t, pipeline.Config{
		Dial:        func(context.Context) (net.Conn, error) { dials++; return nil, errDown },
		DialBackoff: pipeline.DialBackoff{Min: -1},
	}, func(b *bubble) {
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
	var l *memnet.Listener
	inBubble(t, pipeline.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			dials++
			time.Sleep(time.Second)
			return l.Dial(ctx)
		},
	}, func(b *bubble) {
		l = b.net
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		hasty := b.call(ctx, "hasty")
		patient := b.call(bg, "patient")
		require.True(b, b.Stat().Dialing)
		hasty.failed(context.DeadlineExceeded, false)
		p := b.accept()
		p.asked("patient")
		p.answer("reply")
		patient.replied("reply")
		require.Equal(b, 1, dials)
	})
}

func TestDialTimeout(t *testing.T) {
	hang := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inBubble(t, pipeline.Config{Dial: hang, DialTimeout: time.Minute}, func(b *bubble) {
		start := time.Now()
		o := b.call(bg, "request")
		o.failed(context.DeadlineExceeded, false)
		require.True(b, o.err.(net.Error).Timeout())
		require.Equal(b, time.Minute, time.Since(start))
	})
	inBubble(t, pipeline.Config{Dial: hang, DialTimeout: -1}, func(b *bubble) {
		o := b.call(bg, "request")
		time.Sleep(24 * time.Hour)
		o.pending()
		go func() { _ = b.Close(bg) }()
		o.failed(pipeline.ErrClosed, false)
	})
}

func TestDialReturnsNothing(t *testing.T) {
	inBubble(t, pipeline.Config{
		Dial: func(context.Context) (net.Conn, error) { return nil, nil },
	}, func(b *bubble) {
		o := b.call(bg, "request")
		<-o.done
		require.ErrorContains(b, o.err, "neither a connection nor an error")
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
				p.answer(string(frame))
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
	var l *memnet.Listener
	dials := 0
	inBubble(t, pipeline.Config{
		MaxConns: 2,
		Dial: func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errDown
			}
			return l.Dial(ctx)
		},
	}, func(b *bubble) {
		l = b.net
		first := b.call(bg, "first")
		second := b.call(bg, "second")
		third := b.call(bg, "third")
		p := b.accept()
		p.asked("first")
		p.asked("second")
		p.asked("third")
		p.answer("1", "2", "3")
		first.replied("1")
		second.replied("2")
		third.replied("3")
		require.Equal(b, 2, dials)
	})
}

// That a connection never answered is known before its call is told: the next
// call does not dial once more.
func TestUnansweringConnectionIsCountedFirst(t *testing.T) {
	for range 500 {
		var l *memnet.Listener
		dials := 0
		inBubble(t, pipeline.Config{
			Dial: func(ctx context.Context) (net.Conn, error) {
				dials++
				return l.Dial(ctx)
			},
			DialBackoff: pipeline.DialBackoff{Min: time.Hour, Max: time.Hour},
		}, func(b *bubble) {
			l = b.net
			go func() {
				p := b.accept()
				p.asked("request")
				_ = p.Close()
			}()
			_, err := b.Call(bg, []byte("request"))
			require.Error(b, err)
			require.Equal(b, pipeline.Ends{PeerClosed: 1}, b.Stat().Ends)
			_, err = b.Call(bg, []byte("request"))
			require.ErrorContains(b, err, "dial")
			require.Equal(b, 1, dials)
		})
	}
}

// A dial that fails is no longer why calls fail once a connection answers, and
// failures with successes between are not in a row.
func TestAnswerEndsTheFailures(t *testing.T) {
	var l *memnet.Listener
	down := false
	inBubble(t, pipeline.Config{
		MaxConns: 2,
		Dial: func(ctx context.Context) (net.Conn, error) {
			if down {
				return nil, errDown
			}
			return l.Dial(ctx)
		},
		DialBackoff: pipeline.DialBackoff{Min: time.Second, Max: time.Hour},
	}, func(b *bubble) {
		l = b.net
		for range 10 {
			down = true
			b.call(bg, "request").failed(errDown, false)
			require.ErrorIs(b, b.Stat().LastDialError, errDown)
			down = false
			time.Sleep(time.Second + 1)
			o := b.call(bg, "request")
			p := b.accept()
			p.asked("request")
			p.answer("reply")
			o.replied("reply")
			require.NoError(b, b.Stat().LastDialError)
			down = true
			first, second := b.call(bg, "first"), b.call(bg, "second") // the second wants another connection
			require.ErrorIs(b, b.Stat().LastDialError, errDown)
			p.asked("first")
			p.asked("second")
			p.answer("1", "2")
			first.replied("1")
			second.replied("2")
			p.Close()
			quiet()
		}
	})
}
