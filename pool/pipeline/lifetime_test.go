package pipeline_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// echoes replies to every request on every connection, until the listener is
// closed.
func (b *bubble) echoes() {
	for {
		nc, err := b.net.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			r, w := framing.NewReader(nc, framing.Format{}), framing.NewWriter(nc, framing.Format{})
			for {
				frame, err := r.Next()
				if err != nil || w.WriteFrame(frame) != nil || w.Flush() != nil {
					return
				}
			}
		}()
	}
}

// The successor of a connection is dialed before it goes: no caller waits.
func TestMaxLifetime(t *testing.T) {
	var ends []pipeline.EndEvent
	hook := endHook(func(e pipeline.EndEvent) { ends = append(ends, e) })
	cfg := pipeline.Config{MaxLifetime: time.Minute, Hooks: []any{hook}}
	inBubbleDialing(t, cfg, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		time.Sleep(300 * time.Millisecond) // a slow dial, which only the first caller sees
		return l.Dial(ctx)
	}, func(b *bubble) {
		go b.echoes()
		start := time.Now()
		for i := 0; time.Since(start) < 10*time.Minute; i++ {
			begun := time.Now()
			o := b.call(bg, "request")
			o.replied("request")
			if i > 0 {
				require.Zero(b, time.Since(begun))
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.InDelta(b, 11, len(ends), 1)
		require.Equal(b, uint64(len(ends)), b.Stat().Ends[pipeline.Expired])
		require.Equal(b, 1, b.Stat().Open)
	})
}

type endHook func(pipeline.EndEvent)

func (f endHook) AfterEnd(e pipeline.EndEvent) { f(e) }

// A connection whose time is over finishes its calls, and takes no new ones once
// it has a successor.
func TestExpiringConnectionFinishesItsCalls(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: 10 * time.Second, StallTimeout: -1}, func(b *bubble) {
		slow := b.call(bg, "slow")
		ctx, cancel := context.WithCancel(bg)
		gone := b.call(ctx, "gone")
		p := b.accept()
		p.asked("slow")
		p.asked("gone")
		time.Sleep(11 * time.Second)
		next := b.call(bg, "next")
		q := b.accept()
		q.asked("next")
		q.reply("reply")
		next.replied("reply")
		require.Zero(b, b.Stat().Ends)
		time.Sleep(5 * time.Second)
		slow.pending()
		require.Equal(b, uint64(2), b.Stat().Dials, "one successor is enough")
		cancel()
		gone.failed(context.Canceled, true)
		p.reply("at last")
		slow.replied("at last")
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.Expired: 1}, b.Stat().Ends, "only an abandoned call was left")
		require.Zero(b, b.Stat().InFlight)
	})
}

// While no successor can be dialed the old connection stays in use.
func TestExpiringConnectionWithoutSuccessor(t *testing.T) {
	s := &switched{}
	inBubbleDialing(t, pipeline.Config{MaxLifetime: 10 * time.Second}, s.dial, func(b *bubble) {
		p := b.exchange()
		s.down.Store(true)
		for range 60 {
			time.Sleep(time.Second)
			o := b.call(bg, "request")
			p.asked("request")
			p.reply("reply")
			o.replied("reply")
		}
		require.LessOrEqual(b, b.Stat().Dials, uint64(60), "about one a second")
		s.down.Store(false)
		time.Sleep(2 * time.Second)
		require.Equal(b, pipeline.Ends{pipeline.Expired: 1}, b.Stat().Ends)
		b.exchange()
	})
}

func TestMaxIdleTime(t *testing.T) {
	inBubble(t, pipeline.Config{MaxIdleTime: time.Minute, MaxLifetime: -1}, func(b *bubble) {
		p := b.exchange()
		for range 10 { // in use
			time.Sleep(50 * time.Second)
			o := b.call(bg, "request")
			p.asked("request")
			p.reply("reply")
			o.replied("reply")
		}
		o := b.call(bg, "slow")
		p.asked("slow")
		time.Sleep(time.Hour)
		p.reply("reply")
		o.replied("reply")
		last := time.Now()
		for b.Stat().Open == 1 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		require.InDelta(b, time.Minute, time.Since(last), float64(700*time.Millisecond))
		require.Equal(b, pipeline.Ends{pipeline.IdleTooLong: 1}, b.Stat().Ends)
		time.Sleep(time.Hour)
		require.Equal(b, uint64(1), b.Stat().Dials, "nobody needs another")
		b.exchange()
	})
}

func TestAfterConnect(t *testing.T) {
	errLogin := errors.New("login refused")
	for _, c := range []struct {
		name  string
		after func(ctx context.Context, c *conn.Conn) error
		check func(b *bubble, err error)
		took  time.Duration
	}{
		{"fails", func(context.Context, *conn.Conn) error { return errLogin },
			func(b *bubble, err error) { require.ErrorIs(b, err, errLogin) }, 0},
		{"hangs in a read", func(_ context.Context, c *conn.Conn) error { _, err := c.Peek(1); return err },
			func(b *bubble, err error) { require.ErrorIs(b, err, context.DeadlineExceeded) }, 5 * time.Second},
		{"panics", func(context.Context, *conn.Conn) error { panic(errLogin) },
			func(b *bubble, err error) { require.ErrorIs(b, err, errLogin) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, pipeline.Config{AfterConnect: c.after, DialTimeout: 5 * time.Second}, func(b *bubble) {
				start := time.Now()
				o := b.call(bg, "request")
				<-o.done
				c.check(b, o.err)
				require.True(b, o.err.(*pipeline.Error).SafeToRetry())
				require.Equal(b, c.took, time.Since(start))
				nc, err := b.net.Accept()
				require.NoError(b, err)
				_, err = nc.Read(make([]byte, 1))
				require.Error(b, err, "the connection is closed")
				_ = nc.Close()
				for b.Stat().Dials > 1 { // one more for each half second of hanging
					b.net.Close()
					break
				}
			})
		})
	}
	login := func(ctx context.Context, c *conn.Conn) error {
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		_, err := c.Write([]byte("login"))
		return err
	}
	inBubble(t, pipeline.Config{AfterConnect: login}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		got := make([]byte, 5)
		_, err := p.Read(got)
		require.NoError(b, err)
		require.Equal(b, "login", string(got))
		p.asked("request")
		time.Sleep(time.Minute) // its deadline is none of ours
		p.reply("reply")
		o.replied("reply")
	})
}

// A patient caller on a connection whose peer is gone does not keep the others
// there.
func TestPatientCallerOnADeadConnection(t *testing.T) {
	for _, c := range []pipeline.Config{{}, {Match: twoBytes}, {MaxConns: 2}} {
		inBubble(t, c, func(b *bubble) {
			patient := b.call(bg, "\x00\x01patient")
			dead := []*peer{b.accept()}
			dead[0].frames.Next()
			for range c.MaxConns - 1 {
				b.call(bg, "\x00\x01patient too")
				dead = append(dead, b.accept())
			}
			go b.echoes() // on new connections
			start := time.Now()
			for {
				ctx, cancel := context.WithTimeout(bg, time.Second)
				o := b.call(ctx, "\x00\x01request")
				<-o.done
				cancel()
				if o.err == nil {
					break
				}
			}
			require.LessOrEqual(b, time.Since(start), 2*time.Second)
			for range 100 {
				o := b.call(bg, "\x00\x01request")
				o.replied("\x00\x01request")
			}
			require.Zero(b, b.Stat().Ends, "it may only be slow")
			patient.pending()
			// It is heard again: the calls it still has get their replies, and
			// the one too many retires.
			for _, p := range dead {
				p.Close()
			}
			quiet()
			require.LessOrEqual(b, b.Stat().Open, max(1, c.MaxConns))
		})
	}
}

// Flows that are dropped one after the other do not use up the connections there
// may be: those nobody waits on any more make room.
func TestDroppedFlows(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		start := time.Now()
		for time.Since(start) < time.Minute {
			ctx, cancel := context.WithTimeout(bg, time.Second)
			o := b.call(ctx, "request")
			<-o.done
			cancel()
			require.Error(b, o.err)
		}
		require.Greater(b, b.Stat().Dials, uint64(20), "60 s, and each flow is found dead within 2 s")
		require.LessOrEqual(b, b.Stat().Open, 2)
	})
}

// A server that is slow, not dead, costs one connection more and no call.
func TestSlowServerIsNotTakenForDead(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		first := b.call(bg, "first")
		p := b.accept()
		p.asked("first")
		time.Sleep(3 * time.Second)
		second := b.call(bg, "second")
		q := b.accept()
		q.asked("second")
		time.Sleep(3 * time.Second)
		third := b.call(bg, "third") // both are silent: the least loaded
		fourth := b.call(bg, "fourth")
		require.Equal(b, uint64(2), b.Stat().Dials, "MaxConns and one more")
		p.reply("reply")
		first.replied("reply")
		q.reply("reply")
		for _, p := range []*peer{p, q} {
			go func() {
				for {
					if _, err := p.frames.Next(); err != nil {
						return
					}
					b, _ := framing.Format{}.Append(nil, []byte("reply"))
					_, _ = p.Write(b)
				}
			}()
		}
		for _, o := range []*outcome{second, third, fourth} {
			o.replied("reply")
		}
		time.Sleep(2 * time.Second)
		require.Equal(b, 1, b.Stat().Open)
	})
}

// Calls go on over a hundred replaced connections.
func TestManyLifetimes(t *testing.T) {
	p := open(t, serve(t, echo(framing.Format{})), pipeline.Config{MaxLifetime: 2 * time.Millisecond, MaxConns: 2})
	var callers sync.WaitGroup
	var failed atomic.Int64
	for i := range 16 {
		callers.Go(func() {
			for failed.Load() == 0 && p.Stat().Ends[pipeline.Expired] < 100 {
				request := string(rune('a' + i))
				reply, err := p.Call(bg, []byte(request))
				if err != nil || string(reply) != request {
					failed.Add(1)
					t.Errorf("asked %s, got %s, %v", request, reply, err)
				}
			}
		})
	}
	callers.Wait()
	require.Zero(t, failed.Load())
}
