package pipeline_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// conn returns what is known of the connection with the given number.
func (b *bubble) conn(id uint64) (found pipeline.ConnStat) {
	for c := range b.Conns() {
		if c.ID == id {
			found = c
		}
	}
	return found
}

// MaxIdleTime is kept to the moment where nothing else has the connection looked at.
func TestMaxIdleTimeIsKept(t *testing.T) {
	inBubble(t, pipeline.Config{MaxIdleTime: 10500 * time.Millisecond, StallTimeout: -1, MaxLifetime: -1}, func(b *bubble) {
		p := b.exchange()
		begun := time.Now()
		_, err := p.frames.Next()
		require.Error(b, err)
		require.InDelta(b, 10500*time.Millisecond, time.Since(begun), float64(time.Second), "accurate to about a second")
		synctest.Wait()
		require.Equal(b, pipeline.Ends{pipeline.IdleTooLong: 1}, b.Stat().Ends)
	})
}

// A short CallTimeout is kept on a connection that has been quiet for long.
func TestShortCallTimeoutOnAQuietConnection(t *testing.T) {
	cfg := limited
	cfg.CallTimeout = 160 * time.Millisecond
	inBubble(t, cfg, func(b *bubble) {
		p := b.exchange()
		for range 3 {
			time.Sleep(time.Hour)
			begun := time.Now()
			o := b.call(bg, "slow")
			p.asked("slow")
			o.failed(pipeline.ErrCallTimeout, true)
			require.LessOrEqual(b, o.ended.Sub(begun), 180*time.Millisecond)
			p.reply("late")
		}
	})
}

// A connection that owes nothing but the reply to a heartbeat is not closed to make
// room for others: it has Heartbeat.Timeout.
func TestSilentHeartbeatsMakeNoRoom(t *testing.T) {
	cfg := pipeline.Config{StallTimeout: 1000 * time.Second, MaxLifetime: -1,
		Heartbeat: pipeline.Heartbeat{Interval: 100 * time.Second, Timeout: 900 * time.Second, Request: []byte("ping")}}
	inBubble(t, cfg, func(b *bubble) {
		first := b.call(bg, "first")
		p := b.accept()
		p.asked("first")
		time.Sleep(82 * time.Second) // it is silent
		second := b.call(bg, "second")
		q := b.accept()
		q.asked("second")
		time.Sleep(82 * time.Second) // both are
		p.asked("ping")
		p.reply("to first")
		first.replied("to first")
		p.reply("pong")
		heard := time.Now()
		time.Sleep(time.Second)
		p.asked("ping")
		require.Equal(b, 100*time.Second, time.Since(heard))
		time.Sleep(82 * time.Second) // p owes that reply only, for long
		q.asked("ping")
		q.reply("to second", "pong")
		second.replied("to second")
		time.Sleep(300 * time.Second)
		q.asked("ping")
		require.True(b, b.conn(1).Silent)
		require.True(b, b.conn(2).Silent)
		require.Zero(b, b.Stat().Ends)
		_, err := p.frames.Next()
		require.Error(b, err)
		require.Equal(b, 1000*time.Second, time.Since(heard), "Interval and Timeout")
	})
}

// Nor is one with a caller who waits, beside those who have given up.
func TestPatientCallersMakeNoRoom(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: -1, StallTimeout: 100 * time.Second}, func(b *bubble) {
		var peers []*peer
		var patient []*outcome
		for range 2 {
			patient = append(patient, b.call(bg, "patient"))
			ctx, cancel := context.WithTimeout(bg, time.Second)
			defer cancel()
			gone := b.call(ctx, "gone")
			p := b.accept()
			p.asked("patient")
			p.asked("gone")
			gone.failed(context.DeadlineExceeded, true)
			peers = append(peers, p)
			time.Sleep(9 * time.Second) // it is silent
		}
		time.Sleep(time.Hour)
		require.Zero(b, b.Stat().Ends)
		for i, p := range peers {
			p.reply("reply", "late")
			patient[i].replied("reply")
		}
	})
}

// A call on a connection that has been quiet is not taken for one that has waited so
// long; and a connection on which nobody waits is not silent.
func TestSilenceBeginsWithACall(t *testing.T) {
	inBubble(t, pipeline.Config{MaxLifetime: -1}, func(b *bubble) {
		p := b.exchange()
		for range 3 {
			time.Sleep(time.Hour)
			first := b.call(bg, "first")
			p.asked("first")
			time.Sleep(700 * time.Millisecond)
			require.False(b, b.conn(1).Silent)
			second := b.call(bg, "second")
			p.asked("second")
			p.reply("to first", "to second")
			first.replied("to first")
			second.replied("to second")
		}
		require.Equal(b, uint64(1), b.Stat().Dials)
	})
}

// A peer that reads nothing is silent too for calls that wait to be written. Once
// nobody waits there it is trusted again, unless another connection has its place.
func TestCallsBehindABlockedSendAreOwed(t *testing.T) {
	long := numbered(0, strings.Repeat("pong", 100))
	cfg := pipeline.Config{Match: twoBytes, MaxLifetime: -1,
		OnPush: func(_ context.Context, p *pipeline.Push) { _ = p.Send([]byte(long)) }}
	for name, another := range map[string]bool{"another is called": true, "nobody calls": false} {
		t.Run(name, func(t *testing.T) {
			inNarrow(t, 64, cfg, func(b *bubble) {
				next := func(p *peer, o *outcome) {
					p.reply(numbered(p.askedNumbered("next"), "reply"))
					o.replied(numbered(1, "reply"))
				}
				o := b.call(bg, numbered(1, "next"))
				p := b.accept()
				next(p, o)
				p.reply(numbered(0, "ping")) // what is sent finds no reader
				quiet()
				ctx, cancel := context.WithTimeout(bg, 5*time.Second)
				defer cancel()
				stuck := b.call(ctx, numbered(1, "stuck"))
				time.Sleep(time.Second)
				require.True(b, b.conn(1).Silent)
				if another {
					o := b.call(bg, numbered(1, "next"))
					next(b.accept(), o)
				}
				stuck.failed(context.DeadlineExceeded, false)
				quiet()
				if another {
					require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
					return
				}
				require.False(b, b.conn(1).Silent)
				o = b.call(bg, numbered(1, "next"))
				p.asked(long)
				next(p, o)
			})
		})
	}
}

// What is sent to a peer that does not read yet is kept while the connection is quiet.
func TestQuietConnectionKeepsWhatIsNotWritten(t *testing.T) {
	long := strings.Repeat("pong", 300)
	cfg := pipeline.Config{Match: twoBytes, MaxLifetime: -1,
		OnPush: func(_ context.Context, p *pipeline.Push) { _ = p.Send([]byte(long)) }}
	inNarrow(t, 64, cfg, func(b *bubble) {
		o := b.call(bg, numbered(1, "request"))
		p := b.accept()
		n := p.askedNumbered("request")
		p.reply(numbered(n, "reply"))
		o.replied(numbered(1, "reply"))
		for range 3 { // the first is being written, the others wait
			p.reply(numbered(0, "ping"))
			quiet()
		}
		time.Sleep(time.Minute)
		for range 3 {
			p.asked(long)
		}
		o = b.call(bg, numbered(1, "after"))
		p.reply(numbered(p.askedNumbered("after"), "reply"))
		o.replied(numbered(1, "reply"))
	})
}

// A connection that brings other replies, but not those to calls that were given up
// behind a patient one, is replaced too.
func TestLostReplyBehindAPatientCall(t *testing.T) {
	cfg := pipeline.Config{Match: twoBytes, StallTimeout: 10 * time.Second, MaxLifetime: -1,
		Heartbeat: pipeline.Heartbeat{Interval: time.Second / 2, Timeout: time.Hour, Request: []byte("??ping")}}
	inBubble(t, cfg, func(b *bubble) {
		patient := b.call(bg, numbered(1, "patient"))
		p := b.accept()
		slow := p.askedNumbered("patient")
		p.askedNumbered("ping") // it gets no reply, nor do the next ones, and that is no reason
		ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
		defer cancel()
		lost := b.call(ctx, numbered(1, "lost"))
		other := func() {
			o := b.call(bg, numbered(1, "other"))
			for {
				frame, err := p.frames.Next()
				require.NoError(b, err)
				if string(frame[2:]) == "other" {
					p.reply(string(frame[:2]) + "reply")
					break
				}
			}
			o.replied(numbered(1, "reply"))
		}
		other()
		lost.failed(context.DeadlineExceeded, true)
		gone := time.Now()
		for time.Since(gone) < 9*time.Second {
			time.Sleep(300 * time.Millisecond)
			other()
			require.Equal(b, uint64(1), b.Stat().Dials)
		}
		for time.Since(gone) < 11*time.Second {
			time.Sleep(300 * time.Millisecond)
			if b.Stat().Dials == 1 {
				other()
			}
		}
		require.Equal(b, uint64(2), b.Stat().Dials)
		require.True(b, b.conn(1).Leaving)
		patient.pending()
		p.reply(numbered(slow, "reply"))
		patient.replied(numbered(1, "reply"))
		quiet()
		require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
	})
}
