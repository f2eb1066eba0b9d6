package pipeline_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// inNarrow is inNarrowBubble with a Config.
func inNarrow(t *testing.T, size int, cfg pipeline.Config, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 16)}
		b.run(b.narrow(size), cfg, f)
	})
}

// A call whose context ends cuts no write but its own: not that of a Send.
func TestCancelledCallBesideASend(t *testing.T) {
	long := numbered(0, strings.Repeat("pong", 100))
	cfg := pipeline.Config{Match: twoBytes, StallTimeout: -1,
		OnPush: func(_ context.Context, p *pipeline.Push) { _ = p.Send([]byte(long)) }}
	inNarrow(t, 64, cfg, func(b *bubble) {
		o := b.call(bg, numbered(1, "request"))
		p := b.accept()
		n := p.askedNumbered("request")
		p.reply(numbered(0, "ping"), numbered(n, "reply")) // what is sent finds no reader
		o.replied(numbered(1, "reply"))
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		b.call(ctx, numbered(1, "given up")).failed(context.DeadlineExceeded, false)
		p.asked(long)
		o = b.call(bg, numbered(1, "another"))
		p.reply(numbered(p.askedNumbered("another"), "reply"))
		o.replied(numbered(1, "reply"))
		require.Equal(b, uint64(1), b.Stat().Dials)
	})
}

// Calls that are given up while nothing can be written take no memory: they do not
// count where a Send asks how much waits to be written.
func TestGivenUpCallsAreNotPending(t *testing.T) {
	var send func([]byte) error
	cfg := pipeline.Config{Match: twoBytes, StallTimeout: -1, MaxInFlight: 1000,
		OnPush: func(_ context.Context, p *pipeline.Push) { send = p.Send }}
	inNarrow(t, 64, cfg, func(b *bubble) {
		o := b.call(bg, numbered(1, "request"))
		p := b.accept()
		n := p.askedNumbered("request")
		p.reply(numbered(0, "ping"), numbered(n, "reply"))
		o.replied(numbered(1, "reply"))
		blocked := b.call(bg, numbered(1, strings.Repeat("x", 1000)))
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		var calls []*outcome
		for range 100 {
			calls = append(calls, b.call(ctx, numbered(1, strings.Repeat("y", 20_000))))
		}
		require.ErrorContains(b, send([]byte("too much")), "does not read")
		for _, o := range calls {
			o.failed(context.DeadlineExceeded, false)
		}
		require.NoError(b, send([]byte("sent")))
		p.reply(numbered(p.askedNumbered(strings.Repeat("x", 1000)), "reply"))
		blocked.replied(numbered(1, "reply"))
		p.asked("sent")
	})
}

// A peer may reply to a large request before it has read all of it.
func TestReplyBeforeALargeRequestIsRead(t *testing.T) {
	inNarrow(t, 64, pipeline.Config{}, func(b *bubble) {
		request := strings.Repeat("x", 6000)
		o := b.call(bg, request)
		p := b.accept()
		p.reply(strings.Repeat("y", 1000)) // more than the connection holds
		o.replied(strings.Repeat("y", 1000))
		p.asked(request)
		o = b.call(bg, "next")
		p.asked("next")
		p.reply("to next")
		o.replied("to next")
	})
}

// A call that CallTimeout ends before it is written leaves no trace.
func TestCallTimeoutBeforeTheWrite(t *testing.T) {
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": twoBytes} {
		t.Run(name, func(t *testing.T) {
			cfg := limited
			cfg.Match = match
			inNarrow(t, 64, cfg, func(b *bubble) {
				begun := time.Now()
				first := b.call(bg, numbered(1, strings.Repeat("x", 6000)))
				second := b.call(bg, numbered(2, "never written"))
				first.over(begun, true)
				second.over(begun, false)
				require.Equal(b, 1, b.Stat().InFlight)
				require.Equal(b, 1, b.Stat().Abandoned)
				p := b.accept()
				n := p.askedNumbered(strings.Repeat("x", 6000))
				p.reply(numbered(n, "late"))
				require.Zero(b, b.Stat().InFlight)
				require.Zero(b, b.Stat().Abandoned)
				o := b.call(bg, numbered(3, "next"))
				p.reply(numbered(p.askedNumbered("next"), "reply"))
				o.replied(numbered(3, "reply"))
				require.Equal(b, uint64(1), b.Stat().Dials)
			})
		})
	}
}

// The late reply to a call that CallTimeout has ended frees its place.
func TestLateReplyFreesThePlace(t *testing.T) {
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": twoBytes} {
		t.Run(name, func(t *testing.T) {
			cfg := limited
			cfg.Match = match
			inBubble(t, cfg, func(b *bubble) {
				begun := time.Now()
				first, second := b.call(bg, numbered(1, "first")), b.call(bg, numbered(2, "second"))
				p := b.accept()
				fn, sn := p.askedNumbered("first"), p.askedNumbered("second")
				first.over(begun, true)
				second.over(begun, true)
				require.Equal(b, 2, b.Stat().Abandoned)
				p.reply(numbered(fn, "late"), numbered(sn, "late"))
				require.Zero(b, b.Stat().Abandoned)
				require.Zero(b, b.Stat().InFlight)
				require.Equal(b, uint64(2), b.Stat().Late)
			})
		})
	}
}

// withSilent has a silent connection with a call in flight, and a dial in progress
// that another call waits for.
func withSilent(t *testing.T, cfg pipeline.Config, f func(b *bubble, ctx context.Context, silent *peer, dialed chan error)) {
	var dials atomic.Int32
	var dialed chan error
	inBubbleDialing(t, cfg, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return l.Dial(ctx)
		}
		select {
		case err := <-dialed:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, func(b *bubble) {
		dialed = make(chan error)
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		first := b.call(ctx, "first")
		p := b.accept()
		p.asked("first")
		time.Sleep(20 * time.Second) // it is silent
		f(b, ctx, p, dialed)
		cancel()
		<-first.done
	})
}

// Who gives up while another connection is dialed has sent nothing on the silent
// one; one whose dial fails has, since a silent one is better than none.
func TestWaitsForAnotherThanTheSilentConnection(t *testing.T) {
	t.Run("gives up", func(t *testing.T) {
		withSilent(t, pipeline.Config{}, func(b *bubble, ctx context.Context, p *peer, _ chan error) {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			b.call(ctx, "second").failed(context.DeadlineExceeded, false)
		})
	})
	t.Run("CallTimeout", func(t *testing.T) {
		withSilent(t, pipeline.Config{CallTimeout: time.Minute, DialTimeout: -1}, func(b *bubble, _ context.Context, p *peer, _ chan error) {
			b.call(bg, "second").failed(pipeline.ErrCallTimeout, false)
		})
	})
	t.Run("Shutdown", func(t *testing.T) {
		withSilent(t, pipeline.Config{}, func(b *bubble, ctx context.Context, p *peer, _ chan error) {
			second := b.call(ctx, "second")
			second.pending()
			ended := make(chan error, 1)
			go func() { ended <- b.Shutdown(bg) }()
			second.fails(pipeline.ErrClosed)
			p.reply("to first")
			require.NoError(b, <-ended)
		})
	})
	t.Run("dial fails", func(t *testing.T) {
		withSilent(t, pipeline.Config{}, func(b *bubble, ctx context.Context, p *peer, dialed chan error) {
			second := b.call(ctx, "second")
			dialed <- errors.New("refused")
			p.asked("second")
			p.reply("to first", "to second")
			second.replied("to second")
		})
	})
}

// traced is a hook that puts a value into the contexts of dials.
type traced struct{ name, after string }

func (h *traced) BeforeDial(ctx context.Context, addr string) context.Context {
	before, _ := ctx.Value(traced{}).(string)
	return context.WithValue(ctx, traced{}, before+h.name+addr)
}

func (h *traced) AfterDial(ctx context.Context, _ conn.DialEvent) {
	h.after, _ = ctx.Value(traced{}).(string)
}

// The contexts that BeforeDial returns go on to the next hook, the dial, and
// AfterDial.
func TestContextOfADial(t *testing.T) {
	first, second := &traced{name: "1"}, &traced{name: "2"}
	var seen any
	setup{name: "peer", cfg: pipeline.Config{Hooks: []any{first, second}},
		dial: func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
			seen = ctx.Value(traced{})
			return l.Dial(ctx)
		}}.run(t, func(b *bubble) { b.exchange() })
	require.Equal(t, "1peer2peer", seen)
	require.Equal(t, seen, first.after)
	require.Equal(t, seen, second.after)
}

// Calls whose replies come at the moment when their contexts end leave nothing
// behind that the next ones could take for theirs.
func TestReplyAtTheLastMoment(t *testing.T) {
	inBubble(t, pipeline.Config{StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		for range 200 {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			var calls []*outcome
			var replies []string
			for range 8 {
				calls = append(calls, b.call(ctx, "early"))
				p.asked("early")
				replies = append(replies, "reply")
			}
			time.Sleep(time.Second)
			p.reply(replies...)
			for _, o := range calls {
				if <-o.done; o.err != nil {
					o.failed(context.DeadlineExceeded, true)
				} else {
					require.Equal(b, "reply", o.reply)
				}
			}
			cancel()
		}
		require.Zero(b, b.Stat().InFlight)
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p.asked("first")
		p.asked("second")
		first.pending()
		second.pending()
		p.reply("to first", "to second")
		first.replied("to first")
		second.replied("to second")
	})
}
