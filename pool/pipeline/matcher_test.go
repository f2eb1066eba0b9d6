package pipeline_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// touchy finds the number where it takes code: replies have the top bit of the
// command set, and requests of the server's own may have the same numbers.
type touchy struct{ pipeline.Number }

func (m touchy) Get(frame []byte) (uint64, bool) {
	if len(frame) == 0 || frame[0]&0x80 == 0 {
		return 0, false
	}
	if len(frame) == 1 {
		panic("touchy")
	}
	return m.Number.Get(frame)
}

func (m touchy) Restore(reply []byte, old uint64) {
	if string(reply[5:]) == "unrestorable" {
		panic("restore")
	}
	m.Number.Restore(reply, old)
}

func (m touchy) Put(request []byte, n uint64) (uint64, bool) {
	if string(request[5:]) == "unsendable" {
		panic("put")
	}
	return m.Number.Put(request, n)
}

// A Matcher that panics over a request costs that call, and no permit.
func TestMatcherThatPanicsOverARequest(t *testing.T) {
	cfg := pipeline.Config{Match: touchy{pipeline.Number{Offset: 1, Size: 4}}, MaxInFlight: 1}
	inBubble(t, cfg, func(b *bubble) {
		for range 3 {
			o := b.call(bg, "\x01....unsendable")
			<-o.done
			var panicked *pipeline.PanicError
			require.ErrorAs(b, o.err, &panicked)
			require.Equal(b, "put", panicked.Value)
			require.False(b, o.err.(*pipeline.Error).Written)
		}
		o := b.call(bg, "\x01....request")
		p := b.accept()
		p.asked("\x01\x00\x00\x00\x01request")
		p.reply("\x80\x00\x00\x00\x01reply")
		o.replied("\x80....reply")
		require.Zero(b, b.Stat().InFlight)
	})
}

// A Matcher that panics over a reply costs that call, not the others.
func TestMatcherThatPanicsOverAReply(t *testing.T) {
	cfg := pipeline.Config{Match: touchy{pipeline.Number{Offset: 1, Size: 4}}}
	inBubble(t, cfg, func(b *bubble) {
		var p *peer
		for round := range 2 { // alone, and beside another
			first := b.call(bg, "\x01....first")
			if round == 0 {
				p = b.accept()
			}
			n, err := p.frames.Next()
			require.NoError(b, err)
			number := string(n[1:5])
			var second *outcome
			if round == 1 {
				second = b.call(bg, "\x01....second")
				n, err = p.frames.Next()
				require.NoError(b, err)
			}
			p.reply("\x80" + number + "unrestorable")
			<-first.done
			var e *pipeline.Error
			require.ErrorAs(b, first.err, &e)
			require.True(b, e.Written)
			require.False(b, e.SafeToRetry())
			var panicked *pipeline.PanicError
			require.ErrorAs(b, first.err, &panicked)
			if second != nil {
				p.reply("\x80" + string(n[1:5]) + "reply")
				second.replied("\x80....reply")
			}
		}
		require.Equal(b, uint64(1), b.Stat().Dials)
		require.Zero(b, b.Stat().InFlight)
	})
}

func TestMatcherOfTheUsers(t *testing.T) {
	pushes := make(chan string, 10)
	cfg := pipeline.Config{Match: touchy{pipeline.Number{Offset: 1, Size: 4}}, OnPush: func(_ context.Context, p *pipeline.Push) {
		pushes <- string(p.Frame)
		_ = p.Send([]byte("\x80" + string(p.Frame[1:5]) + "pong"))
	}}
	inBubble(t, cfg, func(b *bubble) {
		first, second := b.call(bg, "\x01....first"), b.call(bg, "\x01....second")
		p := b.accept()
		p.asked("\x01\x00\x00\x00\x01first")
		p.asked("\x01\x00\x00\x00\x02second")
		p.reply("\x01\x00\x00\x00\x02ping", "\x80\x00\x00\x00\x02reply")
		second.replied("\x80....reply")
		require.Equal(b, "\x01\x00\x00\x00\x02ping", <-pushes)
		p.asked("\x80\x00\x00\x00\x02pong")
		p.reply("\x80\x00\x00\x00\x01reply")
		first.replied("\x80....reply")
		for range 2 { // alone, and read by the connection's goroutine
			o := b.call(bg, "\x01....last")
			_, err := p.frames.Next()
			require.NoError(b, err)
			p.reply("\x80")
			var e *pipeline.PanicError
			<-o.done
			require.ErrorAs(b, o.err, &e)
			require.Equal(b, "touchy", e.Value)
			o = b.call(bg, "\x01....again")
			p = b.accept()
			p.asked("\x01\x00\x00\x00\x01again")
			p.reply("\x80\x00\x00\x00\x01reply")
			o.replied("\x80....reply")
			quiet()
		}
	})
}

// asks is a Matcher that asks the pipeline, which it must not. It shows under
// which locks it is called.
type asks struct {
	pipeline.Number
	p *pipeline.Pipeline
}

func (m *asks) Get(frame []byte) (uint64, bool) {
	m.p.Stat()
	return m.Number.Get(frame)
}

func (m *asks) Restore(reply []byte, old uint64) {
	m.p.Stat()
	m.Number.Restore(reply, old)
}

// Replies are looked at without a lock, also where several are buffered.
func TestMatcherReadsWithoutALock(t *testing.T) {
	m := &asks{Number: twoBytes}
	inBubble(t, pipeline.Config{Match: m}, func(b *bubble) {
		m.p = b.Pipeline
		for round := range 2 {
			var calls []*outcome
			for range 5 {
				calls = append(calls, b.call(bg, numbered(1, "request")))
			}
			if round == 0 {
				b.peer = b.accept()
			}
			var replies []string
			for range calls {
				replies = append(replies, numbered(b.peer.askedNumbered("request"), "reply"))
			}
			b.peer.reply(replies...)
			for _, o := range calls {
				o.replied(numbered(1, "reply"))
			}
			quiet() // the second round is read by the connection's goroutine alone
		}
	})
}
