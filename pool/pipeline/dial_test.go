package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// strict suspends dialing for an hour after one failure.
var strict = conn.DialBackoff{After: 1, Min: time.Hour, Max: time.Hour}

// A call does not wait for the dial of a further connection: it uses one that is busy.
func TestGrowthKeepsNobodyWaiting(t *testing.T) {
	var dials atomic.Int32
	inBubbleDialing(t, pipeline.Config{MaxConns: 2, StallTimeout: -1}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return l.Dial(ctx)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(b *bubble) {
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p := b.accept()
		p.asked("first")
		p.asked("second")
		p.reply("1", "2")
		first.replied("1")
		second.replied("2")
	})
}

// Calls avoid a silent connection also where it has fewer calls than the others. One
// that is heard again stays if the others are silent.
func TestSilentConnectionWithFewCalls(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: -1}, func(b *bubble) {
		first := b.call(bg, "first")
		p := b.accept()
		p.asked("first")
		time.Sleep(2 * time.Second)
		second := b.call(bg, "second")
		q := b.accept()
		q.asked("second")
		time.Sleep(2 * time.Second) // both are silent
		p.reply("to first")
		first.replied("to first")
		time.Sleep(200 * time.Millisecond)
		require.False(b, b.conn(1).Silent)
		require.False(b, b.conn(1).Leaving)
		require.True(b, b.conn(2).Silent)
		var calls []*outcome
		for range 3 {
			calls = append(calls, b.call(bg, "next"))
		}
		for _, o := range calls {
			p.asked("next")
			p.reply("reply")
			o.replied("reply")
		}
		q.reply("to second")
		second.replied("to second")
		quiet()
		require.Equal(b, 1, b.Stat().Open)
	})
}

// A call that a goodbye would move while the pipeline shuts down has nowhere to go.
func TestGoodbyeDuringShutdown(t *testing.T) {
	inBubble(t, pipeline.Config{Goodbye: []byte("bye")}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		ended := make(chan error, 1)
		go func() { ended <- b.Shutdown(bg) }()
		synctest.Wait()
		p.reply("bye")
		o.failed(pipeline.ErrClosed, false)
		require.NoError(b, <-ended)
	})
}

// A dial that is in progress when a connection's time is over is for its successor too.
func TestGrowthIsASuccessor(t *testing.T) {
	var dials atomic.Int32
	inBubbleDialing(t, pipeline.Config{MaxConns: 2, MaxLifetime: 10 * time.Second}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		if dials.Add(1) > 1 {
			time.Sleep(350 * time.Millisecond)
		}
		return l.Dial(ctx)
	}, func(b *bubble) {
		p := b.exchange()
		expires := b.conn(1).ExpiresAt
		time.Sleep(time.Until(expires) - 100*time.Millisecond)
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p.asked("first")
		p.asked("second")
		p.reply("1", "2")
		first.replied("1")
		second.replied("2")
		q := b.accept()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		require.Equal(b, pipeline.Ends{pipeline.Expired: 1}, b.Stat().Ends)
		require.Equal(b, uint64(2), b.Stat().Dials)
		require.Equal(b, 350*time.Millisecond, b.Stat().DialTime)
		o := b.call(bg, "next")
		q.asked("next")
		q.reply("reply")
		o.replied("reply")
	})
}

// attempts notes the attempts of a dial that hang until they are given up.
type attempts struct {
	mu           sync.Mutex // guards what follows
	begun, ended []time.Duration
	start        time.Time
}

func (a *attempts) hang(ctx context.Context, _ *memnet.Listener) (net.Conn, error) {
	a.mu.Lock()
	if a.start.IsZero() {
		a.start = time.Now()
	}
	i := len(a.begun)
	a.begun, a.ended = append(a.begun, time.Since(a.start)), append(a.ended, 0)
	a.mu.Unlock()
	<-ctx.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended[i] = time.Since(a.start)
	return nil, ctx.Err()
}

// While a dial hangs, another attempt begins every 400 ms. Of three the first goes on,
// and the older of the others makes room at once. None of that counts as failed dials.
func TestAttemptsOfASlowDial(t *testing.T) {
	const ms = time.Millisecond
	a := &attempts{}
	inBubbleDialing(t, pipeline.Config{}, a.hang, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, 2100*ms)
		defer cancel()
		o := b.call(ctx, "request")
		o.failed(context.DeadlineExceeded, false)
		a.mu.Lock()
		require.Equal(b, []time.Duration{0, 400 * ms, 800 * ms, 1200 * ms, 1600 * ms, 2000 * ms}, a.begun)
		require.Equal(b, []time.Duration{0, 1200 * ms, 1600 * ms, 2000 * ms, 0, 0}, a.ended)
		a.mu.Unlock()
		require.Zero(b, b.Stat().Dials)
		require.Zero(b, b.Stat().DialErrors)
	})
}

// An attempt that was given up and connects nevertheless is used.
func TestGivenUpAttemptThatConnects(t *testing.T) {
	var dials atomic.Int32
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		n := dials.Add(1)
		<-ctx.Done()
		if n != 2 {
			return nil, ctx.Err()
		}
		return l.Dial(context.WithoutCancel(ctx))
	}, func(b *bubble) {
		begun := time.Now()
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		require.Equal(b, 1200*time.Millisecond, time.Since(begun))
		p.reply("reply")
		o.replied("reply")
		require.Equal(b, int32(3), dials.Load())
		require.Equal(b, uint64(1), b.Stat().Dials)
		require.Zero(b, b.Stat().DialErrors)
	})
}

// hookThatPanics panics when a dial has ended.
type hookThatPanics struct{}

func (hookThatPanics) AfterDial(context.Context, conn.DialEvent) { panic("AfterDial") }

// The connection of a dial whose hook panics is closed.
func TestDialWhoseHookPanics(t *testing.T) {
	inBubble(t, pipeline.Config{Hooks: []any{hookThatPanics{}}}, func(b *bubble) {
		o := b.call(bg, "request")
		var panicked *pipeline.PanicError
		<-o.done
		require.ErrorAs(b, o.err, &panicked)
		require.Equal(b, "AfterDial", panicked.Value)
		_, err := b.accept().Read(make([]byte, 1))
		require.ErrorIs(b, err, io.EOF)
	})
}

// timeless is a connection that takes no deadline.
type timeless struct{ net.Conn }

var errTimeless = errors.New("no deadline")

func (timeless) SetDeadline(time.Time) error { return errTimeless }

// AfterConnect is called for a connection only, and one that could keep its deadline is
// not used.
func TestAfterConnectOfADialThatFails(t *testing.T) {
	var called int
	after := func(context.Context, *conn.Conn) error { called++; return nil }
	inBubbleDialing(t, pipeline.Config{AfterConnect: after}, noPeer(func(context.Context) (net.Conn, error) { return nil, errDown }), func(b *bubble) {
		b.call(bg, "request").failed(errDown, false)
		require.Zero(b, called)
	})
	inBubbleDialing(t, pipeline.Config{AfterConnect: after}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return timeless{nc}, err
	}, func(b *bubble) {
		b.call(bg, "request").failed(errTimeless, false)
		require.Equal(b, 1, called)
		_, err := b.accept().Read(make([]byte, 1))
		require.ErrorIs(b, err, io.EOF)
	})
}

// Failures before a reply do not count with those after it.
func TestReplyProvesTheDials(t *testing.T) {
	s := &switched{}
	inBubbleDialing(t, pipeline.Config{DialBackoff: conn.DialBackoff{After: 2, Min: time.Hour, Max: time.Hour}}, s.dial, func(b *bubble) {
		s.down.Store(true)
		b.call(bg, "request").failed(errDown, false)
		s.down.Store(false)
		b.exchange().Close()
		quiet()
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.Close()
		o.failed(io.EOF, true)
		require.ErrorIs(b, b.Stat().LastDialError, io.EOF)
		require.False(b, b.Stat().Suspended, "one in a row")
		b.exchange()
		require.NoError(b, b.Stat().LastDialError)
	})
}

// What ends without a reply counts as a failed dial only if the peer had a reason to
// reply, and time.
func TestEndsThatAreNoFailedDials(t *testing.T) {
	for name, end := range map[string]func(b *bubble){
		"evicted with a call that was given up": func(b *bubble) {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			o := b.call(ctx, "request")
			b.accept()
			o.failed(context.DeadlineExceeded, true)
			require.True(b, b.EvictConn(1))
		},
		"never used": func(b *bubble) {
			first, second := b.call(bg, "first"), b.call(bg, "second")
			p, q := b.accept(), b.accept()
			q.Close()
			p.reply("1", "2")
			first.replied("1")
			second.replied("2")
			p.Close()
		},
		"with replies before": func(b *bubble) {
			p := b.exchange()
			o := b.call(bg, "request")
			p.asked("request")
			p.Close()
			o.failed(io.EOF, true)
		},
		"with a late reply before": func(b *bubble) {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			gone := b.call(ctx, "gone")
			p := b.accept()
			gone.failed(context.DeadlineExceeded, true)
			p.reply("late")
			o := b.call(bg, "request")
			p.Close()
			<-o.done
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pipeline.Config{MaxConns: 2, DialBackoff: strict, StallTimeout: -1}, func(b *bubble) {
				end(b)
				quiet()
				require.False(b, b.Stat().Suspended)
				require.NoError(b, b.Stat().LastDialError)
				require.Zero(b, b.Stat().Open)
				b.exchange()
			})
		})
	}
	t.Run("closed here", func(t *testing.T) {
		inBubble(t, pipeline.Config{}, func(b *bubble) {
			o := b.call(bg, "request")
			b.accept()
			require.NoError(b, b.Close())
			o.failed(pipeline.ErrClosed, true)
			require.NoError(b, b.Stat().LastDialError)
		})
	})
}

// Replies to heartbeats are replies of the peer's too.
func TestHeartbeatsProveTheDial(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes, Heartbeat: beat, DialBackoff: strict, StallTimeout: -1}, func(b *bubble) {
		o := b.call(bg, numbered(1, "slow"))
		p := b.accept()
		p.askedNumbered("slow")
		p.reply(numbered(p.askedNumbered("ping"), "pong"))
		p.Close()
		o.failed(io.EOF, true)
		require.False(b, b.Stat().Suspended)

		o = b.call(bg, numbered(1, "request"))
		p = b.accept()
		p.reply(numbered(p.askedNumbered("request"), "reply"))
		o.replied(numbered(1, "reply"))
		p.reply(numbered(p.askedNumbered("ping"), "pong"))
		o = b.call(bg, numbered(1, "slow"))
		p.askedNumbered("slow")
		p.Close()
		o.failed(io.EOF, true)
		require.False(b, b.Stat().Suspended, "one reply of each kind")
	})
}

// The end of an older connection does not say that the last dial was a success.
func TestLastDialErrorStays(t *testing.T) {
	s := &switched{}
	inBubbleDialing(t, pipeline.Config{MaxConns: 2}, s.dial, func(b *bubble) {
		p := b.exchange()
		s.down.Store(true)
		first, second := b.call(bg, "first"), b.call(bg, "second") // the second wants another connection
		p.reply("1", "2")
		first.replied("1")
		second.replied("2")
		require.ErrorIs(b, b.Stat().LastDialError, errDown)
		p.Close()
		quiet()
		require.Zero(b, b.Stat().Open)
		require.ErrorIs(b, b.Stat().LastDialError, errDown)
	})
}

// A push before the first reply does not say that dials succeed; the reply does.
func TestPushIsNoReply(t *testing.T) {
	s := &switched{}
	cfg := pipeline.Config{Match: twoBytes, OnPush: func(context.Context, *pipeline.Push) {}}
	inBubbleDialing(t, cfg, s.dial, func(b *bubble) {
		s.down.Store(true)
		b.call(bg, "1.request").failed(errDown, false)
		s.down.Store(false)
		for range 2 { // a lone caller reads, then the connection's goroutine
			o := b.call(bg, "1.request")
			p := b.accept()
			n := p.askedNumbered("request")
			p.reply(numbered(0, "push"))
			require.ErrorIs(b, b.Stat().LastDialError, errDown)
			p.reply(numbered(n, "reply"))
			<-o.done
			require.NoError(b, o.err)
			require.NoError(b, b.Stat().LastDialError)
			p.Close()
			quiet()
			s.down.Store(true)
			b.call(bg, "1.request").failed(errDown, false)
			s.down.Store(false)
		}
	})
}

// CloseIsGoodbye is about a close between two replies, and nothing else.
func TestCloseThatCutsAReplyIsNoGoodbye(t *testing.T) {
	inBubble(t, pipeline.Config{CloseIsGoodbye: true}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.raw([]byte{0, 5, 'r'})
		p.Close()
		o.failed(io.ErrUnexpectedEOF, true)
		require.False(b, o.err.(*pipeline.Error).Unhandled)
	})
	inBubbleDialing(t, pipeline.Config{CloseIsGoodbye: true}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return &resets{nc, syscall.ECONNRESET}, err
	}, func(b *bubble) {
		o := b.call(bg, "request")
		o.failed(syscall.ECONNRESET, true)
		require.False(b, o.err.(*pipeline.Error).Unhandled)
	})
}
