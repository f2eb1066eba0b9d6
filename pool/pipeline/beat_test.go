package pipeline_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// A connection that takes no new calls still asks a silent peer whether it is there,
// for those that wait: a slow reply is no silence.
func TestHeartbeatOnALeavingConnection(t *testing.T) {
	for name, cfg := range map[string]pipeline.Config{
		"numbered":   {Heartbeat: beat, Match: twoBytes, StallTimeout: -1, MaxLifetime: -1},
		"of its own": {Heartbeat: pipeline.Heartbeat{Interval: beat.Interval, Timeout: beat.Timeout, Request: beat.Request, Reply: isPong}, StallTimeout: -1, MaxLifetime: -1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(b *bubble) {
				slow := b.call(bg, numbered(1, "slow"))
				p := b.accept()
				n := p.askedNumbered("slow")
				require.True(b, b.EvictConn(1))
				for range 10 {
					pn := p.askedNumbered("ping")
					if cfg.Match != nil {
						p.reply(numbered(pn, "pong"))
					} else {
						p.reply("pong")
					}
				}
				slow.pending()
				p.reply(numbered(n, "reply"))
				slow.replied(numbered(1, "reply"))
				synctest.Wait()
				require.Equal(b, pipeline.Ends{pipeline.Evicted: 1}, b.Stat().Ends)
			})
		})
	}
}

// A heartbeat that is sent right after a call, before anybody reads again, gets its
// own reply, and the next call too.
func TestCallRightAfterAHeartbeat(t *testing.T) {
	cfg := pipeline.Config{Heartbeat: pipeline.Heartbeat{Interval: 5 * time.Millisecond, Timeout: time.Minute, Request: []byte("ping")}, StallTimeout: -1}
	inBubble(t, cfg, func(b *bubble) {
		p := b.exchange()
		p.asked("ping")
		o := b.call(bg, "request")
		p.asked("request")
		p.reply("pong", "reply")
		o.replied("reply")
		require.Zero(b, b.Stat().Abandoned)
		require.Zero(b, b.Stat().InFlight)
	})
}

// While heartbeats stay without replies, each call still finds a number.
func TestUnansweredHeartbeatsBesideAllCalls(t *testing.T) {
	cfg := pipeline.Config{Match: pipeline.Number{Size: 1}, Heartbeat: pipeline.Heartbeat{Interval: time.Second, Request: []byte("?ping")},
		OnPush: func(context.Context, *pipeline.Push) {}, MaxLifetime: -1, StallTimeout: -1}
	inBubble(t, cfg, func(b *bubble) {
		var calls []*outcome
		calls = append(calls, b.call(bg, "1request"))
		p := b.accept()
		for range 5 {
			time.Sleep(1500 * time.Millisecond)
			p.reply("\x00push") // it is not silent, and not a pong
		}
		for range 253 {
			calls = append(calls, b.call(bg, "1request"))
		}
		require.Equal(b, 254, b.Stat().InFlight)
		require.Zero(b, b.Stat().Waiting)
		for replied := 0; replied < 254; {
			frame, err := p.frames.Next()
			require.NoError(b, err)
			if string(frame[1:]) == "request" {
				p.reply(string(frame[:1]) + "reply")
				replied++
			}
		}
		for _, o := range calls {
			o.replied("1reply")
		}
	})
}

// While no successor can be dialed a quiet connection tries once a second, and is
// replaced without a call as soon as it can be.
func TestQuietConnectionGetsASuccessor(t *testing.T) {
	for name, backoff := range map[string]conn.DialBackoff{"with pauses": {Min: 5 * time.Second, Max: 5 * time.Second}, "without": {After: -1}} {
		t.Run(name, func(t *testing.T) {
			s := &switched{}
			inBubbleDialing(t, pipeline.Config{MaxLifetime: time.Minute, DialBackoff: backoff}, s.dial, func(b *bubble) {
				b.exchange()
				s.down.Store(true)
				time.Sleep(time.Minute)
				before := b.Stat().Dials
				time.Sleep(20 * time.Second)
				dials := b.Stat().Dials - before
				if backoff.After < 0 {
					require.InDelta(b, 20, dials, 1)
				} else {
					require.InDelta(b, 4, dials, 1)
				}
				require.Equal(b, 1, b.Stat().Open)
				s.down.Store(false)
				time.Sleep(6 * time.Second)
				require.Equal(b, pipeline.Ends{pipeline.Expired: 1}, b.Stat().Ends)
				require.Equal(b, 1, b.Stat().Open)
			})
		})
	}
}

// Calls that come faster than a connection is looked at do not put that off.
func TestCallsPutOffNoLook(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: time.Hour}, func(b *bubble) {
		go b.echoes()
		b.call(bg, "request").replied("request")
		begun := time.Now()
		time.Sleep(53 * time.Minute)
		for time.Since(begun) < time.Hour+time.Second {
			b.call(bg, "request").replied("request")
			time.Sleep(50 * time.Millisecond)
		}
		require.Equal(b, pipeline.Ends{pipeline.Expired: 1}, b.Stat().Ends)
	})
}

// CallTimeout goes on for a call that a goodbye moves while no other connection can be
// dialed.
func TestCallTimeoutOfACallThatCannotMove(t *testing.T) {
	cfg := limited
	cfg.Goodbye, cfg.DialTimeout = []byte("goodbye"), -1
	var dials atomic.Int32
	inBubbleDialing(t, cfg, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return l.Dial(ctx)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(b *bubble) {
		p := b.exchange()
		begun := time.Now()
		o := b.call(bg, "x")
		p.asked("x")
		time.Sleep(40 * time.Second)
		p.reply("goodbye")
		o.over(begun, false)
		require.NoError(b, b.Close())
	})
}

// enveloped is a frame with an envelope.
func enveloped(e *envelope.Envelope, payload string) []byte {
	b, _ := e.Append(nil)
	return append(b, payload...)
}

// An envelope's push is no reply, also where there is no Goodbye and no Match.
func TestEnvelopeAlone(t *testing.T) {
	inBubble(t, pipeline.Config{Envelope: true}, func(b *bubble) {
		request := string(enveloped(&envelope.Envelope{}, "request"))
		push := string(enveloped(&envelope.Envelope{Push: true}, "push"))
		for range 2 { // a lone caller reads, then the connection's goroutine
			o := b.call(bg, request)
			p := b.accept()
			p.asked(request)
			p.reply(request)
			o.replied(request)
			o = b.call(bg, request)
			p.asked(request)
			p.reply(push, request)
			o.failed(pipeline.ErrUnsolicited, true)
		}
	})
}

// Two calls in a row, the first with its reply although its write is not over, get
// each its own.
func TestCallBesideAWriteThatHasItsReply(t *testing.T) {
	inNarrow(t, 64, pipeline.Config{}, func(b *bubble) {
		request := strings.Repeat("x", 6000)
		first := b.call(bg, request)
		p := b.accept()
		p.reply("to first")
		first.replied("to first")
		second := b.call(bg, "second")
		p.asked(request)
		p.asked("second")
		synctest.Wait()
		third := b.call(bg, "third")
		p.asked("third")
		p.reply("to second", "to third")
		second.replied("to second")
		third.replied("to third")
	})
}

// lateTrouble is a Matcher that has no place for the number in a heartbeat once it has
// been tried.
type lateTrouble struct {
	pipeline.Number
	tried *atomic.Bool
}

func (m lateTrouble) Max() uint64 { return m.Number.Max() }

func (m lateTrouble) Put(request []byte, n uint64) (uint64, bool) {
	if string(request[2:]) == "ping" && m.tried.Swap(true) {
		return 0, false
	}
	return m.Number.Put(request, n)
}

// A Matcher that has no place for the number costs the call, or the heartbeat, which
// the connection then ends for want of.
func TestMatcherWithoutAPlace(t *testing.T) {
	inBubble(t, pipeline.Config{Match: lateTrouble{twoBytes, new(atomic.Bool)}, Heartbeat: beat}, func(b *bubble) {
		o := b.call(bg, "1.request")
		p := b.accept()
		n := p.askedNumbered("request")
		p.reply(numbered(n, "reply"))
		o.replied("1.reply")
		o = b.call(bg, "1.ping")
		<-o.done
		require.ErrorIs(b, o.err, pipeline.ErrNoNumber)
		require.False(b, o.err.(*pipeline.Error).SafeToRetry())
		_, err := p.frames.Next()
		require.ErrorIs(b, err, io.EOF, "nothing was sent")
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
	})
}

// A lone caller goes on reading until its time is over, and no longer.
func TestLoneCallerReadsUntilItsTimeIsOver(t *testing.T) {
	inBubble(t, limited, func(b *bubble) {
		p := b.exchange()
		begun := time.Now()
		o := b.call(bg, "slow")
		p.asked("slow")
		time.Sleep(59 * time.Second)
		require.Equal(b, 1, goroutines("inlineCall"))
		o.over(begun, true)
		p.reply("late")
	})
}

// A call that was given up is not ended once more by CallTimeout.
func TestGivenUpCallHasNoCallTimeout(t *testing.T) {
	inBubble(t, limited, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		first, second := b.call(bg, "first"), b.call(ctx, "second")
		p := b.accept()
		time.Sleep(10 * time.Second)
		cancel()
		second.failed(context.Canceled, true)
		first.failed(pipeline.ErrCallTimeout, true)
		time.Sleep(time.Minute)
		require.Equal(b, uint64(2), b.Stat().Canceled)
		p.reply("late", "late")
		require.Zero(b, b.Stat().Abandoned)
		require.Zero(b, b.Stat().InFlight)
	})
}

// CallTimeout is kept to the moment for a call whose time was counted from its dial.
func TestCallTimeoutAfterADialIsKept(t *testing.T) {
	inBubbleDialing(t, limited, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		time.Sleep(300 * time.Millisecond)
		return l.Dial(ctx)
	}, func(b *bubble) {
		begun := time.Now()
		var calls []*outcome
		for range 3 {
			calls = append(calls, b.call(bg, "request"))
		}
		for _, o := range calls {
			o.failed(pipeline.ErrCallTimeout, true)
			require.InDelta(b, time.Minute, o.ended.Sub(begun), float64(2*time.Millisecond))
		}
	})
}
