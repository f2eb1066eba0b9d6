package pipeline_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// LastUsed is when the connection last had a call, never later, and ExpiresAt is zero
// where nothing ends it.
func TestLastUsed(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: -1, StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		require.True(b, b.conn(1).ExpiresAt.IsZero())
		time.Sleep(time.Hour)
		require.Less(b, b.conn(1).LastUsed, time.Now().Add(-time.Hour+2*time.Second))
		o := b.call(bg, "slow")
		require.True(b, b.conn(1).LastUsed.Equal(time.Now()))
		p.asked("slow")
		for range 5 {
			time.Sleep(1500 * time.Millisecond)
			require.LessOrEqual(b, time.Since(b.conn(1).LastUsed), time.Second)
			require.GreaterOrEqual(b, time.Since(b.conn(1).LastUsed), time.Duration(0))
		}
		p.reply("reply")
		o.replied("reply")
	})
}

// What a connection has counted is in the Stat after its end too.
func TestStatAfterTheEnd(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		for range 2 {
			b.exchange().Close()
			quiet()
		}
		s := b.Stat()
		require.Equal(b, []uint64{2, 2, 2}, []uint64{s.Calls, s.Replies, s.Writes})
		require.Equal(b, []uint64{2 * 7, 2 * 9}, []uint64{s.BytesRead, s.BytesWritten})
		require.True(b, s.SuspendedUntil.IsZero())
	})
}

// An error says what may be wrong where the peer has closed without a reply, or has
// sent what is no frame, and only there.
func TestHintsOfErrors(t *testing.T) {
	const none = "no reply on a new connection"
	for name, c := range map[string]struct {
		exchange bool
		quiet    bool
		sent     string
		hint     string
	}{
		"closed at once":            {hint: none},
		"closed after a reply":      {exchange: true},
		"part of a frame":           {sent: "\x00\x05abc"},
		"HTTP":                      {sent: "HTTP/1.1 400 Bad Request\r\n\r\n", hint: "HTTP"},
		"HTTP after a reply":        {exchange: true, sent: "HTTP/1.1 400 Bad Request\r\n\r\n", hint: "HTTP"},
		"HTTP, the goroutine reads": {exchange: true, quiet: true, sent: "HTTP/1.1 400 Bad Request\r\n\r\n", hint: "HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pipeline.Config{}, func(b *bubble) {
				var p *peer
				if c.exchange {
					p = b.exchange()
				}
				if c.quiet {
					quiet()
				}
				o := b.call(bg, "request")
				if p == nil {
					p = b.accept()
				}
				p.asked("request")
				p.raw([]byte(c.sent))
				p.Close()
				<-o.done
				require.Error(b, o.err)
				if c.hint == "" {
					require.NotContains(b, o.err.Error(), "(no reply")
					require.True(b, strings.HasSuffix(o.err.Error(), "EOF"), o.err.Error())
				} else {
					require.Contains(b, o.err.Error(), c.hint)
				}
			})
		})
	}
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return &resets{nc, syscall.ECONNRESET}, err
	}, func(b *bubble) {
		o := b.call(bg, "request")
		o.failed(syscall.ECONNRESET, true)
		require.NotContains(b, o.err.Error(), none)
	})
	require.False(t, (&pipeline.Error{Op: "dial", Err: syscall.ECONNREFUSED}).Timeout())
	var temporary interface{ Temporary() bool }
	require.ErrorAs(t, pipeline.ErrNoHeartbeat, &temporary)
	require.True(t, temporary.Temporary())
}

// With hooks too, a connection that ends is no empty reply, whoever reads.
func TestHooksAndAConnectionThatEnds(t *testing.T) {
	for name, cfg := range map[string]pipeline.Config{"in order": {}, "by number": {Match: twoBytes}} {
		cfg.Hooks = []any{&recorder{}}
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(b *bubble) {
				o := b.call(bg, numbered(1, "alone"))
				p := b.accept()
				p.askedNumbered("alone")
				p.Close()
				o.failed(io.EOF, true)
				first, second := b.call(bg, numbered(1, "first")), b.call(bg, numbered(1, "second"))
				p = b.accept()
				n := p.askedNumbered("first")
				p.askedNumbered("second")
				p.reply(numbered(n, "reply"))
				first.replied(numbered(1, "reply"))
				p.Close()
				second.failed(io.EOF, true)
			})
		})
	}
}

// The times of a call are never zero for what has happened, and zero for what has not;
// the bytes of a reply are counted without those before it.
func TestPhasesWhileTheClockStands(t *testing.T) {
	r := &recorder{}
	setup{cfg: pipeline.Config{Hooks: []any{r}}}.run(t, func(b *bubble) {
		p := b.exchange()
		require.Equal(b, conn.Phases{Acquired: 1, Written: 1, FirstByte: 1}, r.calls[0].Phases)
		var reply []byte
		done := make(chan error, 1)
		go func() {
			var err error
			reply, err = b.AppendCall(bg, []byte("before"), []byte("request"))
			done <- err
		}()
		p.asked("request")
		p.reply("reply")
		require.NoError(b, <-done)
		require.Equal(b, "beforereply", string(reply))
		require.Equal(b, 5, r.calls[1].ReplyBytes)
	})
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 16)}
		r := &recorder{}
		b.run(b.narrow(16), pipeline.Config{Hooks: []any{r}, StallTimeout: -1}, func(b *bubble) {
			first := b.call(bg, strings.Repeat("x", 100))
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			b.call(ctx, "never written").failed(context.DeadlineExceeded, false)
			require.Zero(b, r.calls[0].Written)
			require.Zero(b, r.calls[0].FirstByte)
			p := b.accept()
			p.asked(strings.Repeat("x", 100))
			p.reply("reply")
			first.replied("reply")
		})
	})
}

// Shutdown waits for a single call, and no longer than its caller does.
func TestShutdownWaitsForOneCall(t *testing.T) {
	for name, replied := range map[string]bool{"replied to": true, "given up": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pipeline.Config{StallTimeout: -1}, func(b *bubble) {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(bg, 10*time.Second)
				defer cancel()
				o := b.call(ctx, "request")
				p := b.accept()
				p.asked("request")
				ended := make(chan error, 1)
				go func() { ended <- b.Shutdown(bg) }()
				time.Sleep(5 * time.Second)
				require.Empty(b, ended)
				if replied {
					p.reply("reply")
					o.replied("reply")
				} else {
					o.failed(context.DeadlineExceeded, true)
				}
				require.NoError(b, <-ended)
				require.LessOrEqual(b, time.Since(begun), 10*time.Second)
			})
		})
	}
}

// A frame that is malformed ends the connection after the replies before it, which
// arrive whole.
func TestRepliesBeforeAMalformedFrame(t *testing.T) {
	setup{format: framing.Format{MaxSize: 100}}.run(t, func(b *bubble) {
		var calls []*outcome
		for range 3 {
			calls = append(calls, b.call(bg, "request"))
		}
		p := b.accept()
		for range 3 {
			p.asked("request")
		}
		p.raw([]byte("\x00\x05first\x00\x06second\xff\xffmalformed"))
		calls[0].replied("first")
		calls[1].replied("second")
		var size *framing.SizeError
		<-calls[2].done
		require.ErrorAs(b, calls[2].err, &size)
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.Protocol: 1}, b.Stat().Ends)
	})
	setup{format: framing.Format{MaxSize: 100}}.run(t, func(b *bubble) {
		p := b.exchange()
		quiet() // from now on the connection's goroutine reads
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p.asked("first")
		p.asked("second")
		p.raw([]byte("\x00\x05first\xff\xffmalformed"))
		first.replied("first")
		var size *framing.SizeError
		<-second.done
		require.ErrorAs(b, second.err, &size)
	})
}

// Without Envelope a frame that looks like an envelope's push is a reply as any other.
func TestReplyThatLooksLikeAPush(t *testing.T) {
	push := string(enveloped(&envelope.Envelope{Push: true}, "push"))
	inBubble(t, pipeline.Config{Goodbye: []byte("bye")}, func(b *bubble) {
		for range 2 {
			o := b.call(bg, "request")
			if b.peer == nil {
				b.peer = b.accept()
			}
			b.peer.asked("request")
			b.peer.reply(push)
			o.replied(push)
			quiet()
		}
	})
}

// A frame that comes while the connection's goroutine reads puts the next heartbeat off
// by Interval, to the moment.
func TestRepliesPutOffTheHeartbeat(t *testing.T) {
	inBubble(t, pipeline.Config{Heartbeat: beat, StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		quiet()
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p.asked("first")
		p.asked("second")
		time.Sleep(1230 * time.Millisecond)
		p.reply("1")
		first.replied("1")
		heard := time.Now()
		p.asked("??ping")
		require.Equal(b, beat.Interval, time.Since(heard))
		require.Zero(b, b.Stat().Abandoned)
		require.Equal(b, 1, b.Stat().InFlight)
		p.reply("2", "pong")
		second.replied("2")
	})
}

// Lone callers read their replies themselves, with Match too, one after the other.
func TestLoneCallersReadNumberedReplies(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		var p *peer
		for range 3 {
			o := b.call(bg, numbered(1, "request"))
			if p == nil {
				p = b.accept()
			}
			require.Equal(b, 1, goroutines("inlineCall"))
			p.reply(numbered(p.askedNumbered("request"), "reply"))
			o.replied(numbered(1, "reply"))
		}
	})
}

// mute is a connection whose peer has gone for writes, and still sends.
type mute struct{ net.Conn }

func (mute) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// Where a goodbye may follow a failed write it is waited for for a second, whoever
// reads and whoever gives up meanwhile; without one the write's error counts.
func TestLastWordsHaveAnEnd(t *testing.T) {
	dial := func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return mute{nc}, err
	}
	for _, size := range []int{5, 5000} { // written by the caller, by the writer
		for name, patience := range map[string]time.Duration{"waits": time.Hour, "gives up": 500 * time.Millisecond} {
			t.Run(name, func(t *testing.T) {
				cfg := pipeline.Config{Goodbye: []byte("bye"), StallTimeout: -1, DialBackoff: conn.DialBackoff{After: -1}}
				inBubbleDialing(t, cfg, dial, func(b *bubble) {
					begun := time.Now()
					ctx, cancel := context.WithTimeout(bg, patience)
					defer cancel()
					o := b.call(ctx, strings.Repeat("x", size))
					require.True(b, b.conn(1).Leaving)
					<-o.done
					require.Error(b, o.err)
					if patience < time.Minute {
						require.ErrorIs(b, o.err, context.DeadlineExceeded)
						require.Equal(b, patience, time.Since(begun))
						time.Sleep(2 * time.Second)
					} else {
						require.ErrorIs(b, o.err, syscall.EPIPE)
						require.Equal(b, 2*time.Second, time.Since(begun), "moved once")
					}
					require.Zero(b, b.Stat().Open)
					require.NotZero(b, b.Stat().Ends[pipeline.PeerClosed])
					require.Equal(b, b.Stat().Ends.Total(), b.Stat().Ends[pipeline.PeerClosed])
				})
			})
		}
	}
}

// Refused counts the calls for which there was no room to wait, and no others.
func TestRefusedCalls(t *testing.T) {
	inBubble(t, pipeline.Config{MaxInFlight: 1, MaxWaiters: 1, StallTimeout: -1}, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		first := b.call(bg, "first")
		waits := b.call(ctx, "waits")
		for range 3 {
			b.call(bg, "refused").fails(pipeline.ErrTooManyWaiters)
		}
		waits.failed(context.DeadlineExceeded, false)
		require.Equal(b, uint64(3), b.Stat().Refused)
		p := b.accept()
		p.asked("first")
		p.reply("reply")
		first.replied("reply")
	})
}

// However many pushes come while OnPush is busy, and however large, it gets all as they
// were, in their order.
func TestEveryPushArrives(t *testing.T) {
	for name, c := range map[string]struct{ pushes, size, together int }{
		"many": {100, 1, 100}, "large": {60, 1000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var busy chan struct{}
			onPush := func(_ context.Context, p *pipeline.Push) {
				<-busy
				got = append(got, string(p.Frame))
			}
			inBubble(t, pipeline.Config{Match: twoBytes, OnPush: onPush, StallTimeout: -1}, func(b *bubble) {
				busy = make(chan struct{})
				o := b.call(bg, numbered(1, "request"))
				p := b.accept()
				p.reply(numbered(p.askedNumbered("request"), "reply"))
				o.replied(numbered(1, "reply"))
				quiet() // from now on the connection's goroutine reads
				var want []string
				for i := range c.pushes {
					want = append(want, numbered(0, strings.Repeat(string(rune('0'+i)), c.size)))
				}
				for i := 0; i < c.pushes; i += c.together {
					p.reply(want[i : i+c.together]...)
				}
				quiet()
				close(busy)
				quiet()
				require.Equal(b, want, got)
			})
		})
	}
}

// What comes behind the last reply, be it a byte, is noticed before the next call.
func TestByteBehindTheLastReply(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		p := b.exchange()
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p.asked("first")
		p.asked("second")
		p.raw([]byte("\x00\x011\x00\x012\x00"))
		first.replied("1")
		second.replied("2")
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.Protocol: 1}, b.Stat().Ends)
		b.exchange()
	})
}

// What ends the reading after a failed write is the cause if it says more: here the
// peer's close. A deadline that nobody has set is the cause itself.
func TestCauseOfAReadThatFails(t *testing.T) {
	cfg := pipeline.Config{Goodbye: []byte("bye"), CloseIsGoodbye: true, DialBackoff: conn.DialBackoff{After: -1}}
	inBubbleDialing(t, cfg, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return mute{nc}, err
	}, func(b *bubble) {
		go func() {
			for {
				nc, err := b.net.Accept()
				if err != nil {
					return
				}
				time.Sleep(time.Millisecond)
				_ = nc.Close()
			}
		}()
		b.call(bg, "request").failed(io.EOF, false)
	})
	inBubbleDialing(t, pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return &resets{nc, os.ErrDeadlineExceeded}, err
	}, func(b *bubble) {
		b.call(bg, "request").failed(os.ErrDeadlineExceeded, true)
	})
}
