package pipeline_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/stretchr/testify/require"
)

// keep is an OnPush that keeps what comes.
func keep(pushes chan string) func(context.Context, *pipeline.Push) {
	return func(_ context.Context, p *pipeline.Push) { pushes <- string(p.Frame) }
}

func TestPushes(t *testing.T) {
	pushes := make(chan string, 100)
	inBubble(t, pipeline.Config{Match: twoBytes, OnPush: keep(pushes)}, func(b *bubble) {
		o := b.call(bg, numbered(1, "alone"))
		p := b.accept()
		n := p.askedNumbered("alone")
		p.reply(numbered(0, "beside a lone call"), "x", numbered(999, "of no call"), numbered(n, "reply"), numbered(0, "behind it"))
		o.replied(numbered(1, "reply"))
		require.Equal(b, numbered(0, "beside a lone call"), <-pushes)
		require.Equal(b, "x", <-pushes)
		require.Equal(b, numbered(999, "of no call"), <-pushes)
		require.Equal(b, numbered(0, "behind it"), <-pushes)
		quiet()
		p.reply(numbered(0, "while idle"))
		require.Equal(b, numbered(0, "while idle"), <-pushes)
		p.raw([]byte{0, 4, 0}) // half of one, and a call meanwhile
		first, second := b.call(bg, numbered(1, "first")), b.call(bg, numbered(1, "second"))
		an, bn := p.askedNumbered("first"), p.askedNumbered("second")
		p.raw([]byte{0, 'a', 'b'})
		require.Equal(b, "\x00\x00ab", <-pushes)
		p.reply(numbered(bn, ""), numbered(0, "between"), numbered(an, ""))
		first.replied(numbered(1, ""))
		second.replied(numbered(1, ""))
		require.Equal(b, numbered(0, "between"), <-pushes)
		require.Zero(b, b.Stat().Ends)
	})
}

// A push that came before a lone call does not fail its check of the
// connection.
func TestPushBeforeALoneCall(t *testing.T) {
	pushes := make(chan string, 100)
	addr := serve(t, server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		r, w := framing.NewReader(c, framing.Format{}), framing.NewWriter(c, framing.Format{})
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			_ = w.WriteFrame(frame)
			_ = w.WriteFrame([]byte(numbered(0, "push")))
			if w.Flush() != nil {
				return
			}
		}
	}))
	p := open(t, addr, pipeline.Config{Match: twoBytes, OnPush: keep(pushes)})
	for range 20 {
		_, err := p.Call(bg, []byte(numbered(1, "push me")))
		require.NoError(t, err)
		for begun := time.Now(); time.Since(begun) < 2*time.Millisecond; {
			runtime.Gosched()
		}
	}
	for range 20 {
		require.Equal(t, numbered(0, "push"), <-pushes)
	}
	require.Zero(t, p.Stat().Ends)
}

// OnPush may send on the connection that the push came on.
func TestPushSend(t *testing.T) {
	var last *pipeline.Push
	cfg := pipeline.Config{Match: twoBytes, OnPush: func(ctx context.Context, p *pipeline.Push) {
		_ = p.Send(append(p.Frame, '!'))
		last = p
	}}
	inBubble(t, cfg, func(b *bubble) {
		o := b.call(bg, numbered(1, "request"))
		p := b.accept()
		n := p.askedNumbered("request")
		p.reply(numbered(0, "ping"))
		p.asked(numbered(0, "ping!"))
		p.reply(numbered(n, "reply"))
		o.replied(numbered(1, "reply"))
		addr, id := last.Peer()
		require.Equal(b, "peer", addr)
		require.Equal(b, uint64(1), id)

		// A peer that does not read gets no more than it has room for.
		var err error
		for range 100 {
			if err = last.Send(make([]byte, 60_000)); err != nil {
				break
			}
		}
		require.ErrorContains(b, err, "does not read")
		require.Error(b, last.Send(make([]byte, 1<<16)))
		require.NoError(b, p.Close())
		quiet()
		err = last.Send([]byte("late"))
		var e *pipeline.Error
		require.ErrorAs(b, err, &e)
		require.Equal(b, "send", e.Op)
	})
}

// Replies pass by an OnPush that blocks, until 64 pushes wait for it. It is told
// when the connection ends.
func TestBlockedOnPush(t *testing.T) {
	var release chan struct{}
	var seen []string
	ended := false
	cfg := pipeline.Config{Match: twoBytes, OnPush: func(ctx context.Context, p *pipeline.Push) {
		seen = append(seen, string(p.Frame))
		select {
		case <-release:
		case <-ctx.Done():
			ended = true
		}
	}}
	inBubble(t, cfg, func(b *bubble) {
		release = make(chan struct{})
		p := &peer{}
		for round := range 2 { // read by the connection's goroutine, then by a lone caller
			o := b.call(bg, numbered(1, "request"))
			if round == 0 {
				p = b.accept()
			}
			n := p.askedNumbered("request")
			for i := range 65 {
				p.reply(numbered(0, strconv.Itoa(i)))
			}
			p.reply(numbered(n, "reply"))
			o.replied(numbered(1, "reply"))
			ctx, cancel := context.WithTimeout(bg, time.Second/2) // before the connection counts as silent
			o = b.call(ctx, numbered(1, "another"))
			n = p.askedNumbered("another")
			p.reply(numbered(0, "too many"), numbered(n, "reply"))
			o.failed(context.DeadlineExceeded, true)
			cancel()
			for range 66 {
				release <- struct{}{}
			}
			synctest.Wait()
			require.Equal(b, numbered(0, "too many"), seen[len(seen)-1])
			require.Zero(b, b.Stat().Abandoned)
			require.Len(b, seen, 66*(round+1))
		}
		p.reply(numbered(0, "last"))
		quiet()
		require.NoError(b, b.Close())
		require.True(b, ended)
	})
}

func TestPanickingOnPush(t *testing.T) {
	for name, onPush := range map[string]func(context.Context, *pipeline.Push){
		"panic":  func(context.Context, *pipeline.Push) { panic("boom") },
		"Goexit": func(context.Context, *pipeline.Push) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pipeline.Config{Match: twoBytes, OnPush: onPush}, func(b *bubble) {
				for range 3 {
					o := b.call(bg, numbered(1, "request"))
					p := b.accept()
					p.askedNumbered("request")
					p.reply(numbered(0, "push"))
					<-o.done
					var panicked *pipeline.PanicError
					if name == "panic" {
						require.ErrorAs(b, o.err, &panicked)
					} else {
						require.ErrorContains(b, o.err, "Goexit")
					}
					require.False(b, o.err.(*pipeline.Error).SafeToRetry())
				}
			})
		})
	}
}
