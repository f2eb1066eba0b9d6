package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

func TestNumber(t *testing.T) {
	frame := []byte("\x01\x02\x03\x04\x05")
	for _, c := range []struct {
		number pipeline.Number
		want   uint64
	}{
		{pipeline.Number{Size: 3}, 0x010203},
		{pipeline.Number{Offset: 1, Size: 3}, 0x020304},
		{pipeline.Number{Offset: 2, Size: 3, LittleEndian: true}, 0x050403},
		{pipeline.Number{Size: 5, LittleEndian: true}, 0x0504030201},
	} {
		n, ok := c.number.Get(frame)
		require.True(t, ok)
		require.Equal(t, c.want, n)
		old, ok := c.number.Put(append([]byte(nil), frame...), 7)
		require.True(t, ok)
		require.Equal(t, c.want, old)
	}
	for _, short := range []string{"", "\x01", "\x00\x00"} {
		_, ok := twoBytes.Get([]byte(short))
		require.False(t, ok)
	}
	short := []byte("\x01")
	twoBytes.Restore(short, 7)
	require.Equal(t, "\x01", string(short))
	require.Equal(t, uint64(0xff), pipeline.Number{Size: 2, Reply: &pipeline.Number{Size: 1}}.Max())
	require.Equal(t, uint64(0xff), pipeline.Number{Size: 1, Reply: &pipeline.Number{Size: 2}}.Max())
	for _, n := range []pipeline.Number{{Size: 1}, {Size: 8}, {Size: 2, Reply: &pipeline.Number{Size: 1}}, {Size: 2, Reply: &pipeline.Number{Size: 8}}} {
		require.NoError(t, pipeline.Config{Match: n}.Validate())
	}
	for _, n := range []pipeline.Number{{}, {Size: 9}, {Size: 2, Reply: &pipeline.Number{}}, {Size: 2, Reply: &pipeline.Number{Size: 9}}} {
		var e *pipeline.ConfigError
		require.ErrorAs(t, pipeline.Config{Match: n}.Validate(), &e)
		require.Equal(t, "Match", e.Field)
		require.Contains(t, e.Problem, "1 to 8")
	}
}

// few is a Matcher with few numbers.
type few struct {
	pipeline.Number
	max uint64
}

func (m few) Max() uint64 { return m.max }

// onlyStarts is a hook that hears of the start of dials only.
type onlyStarts struct{}

func (onlyStarts) BeforeDial(ctx context.Context, _ string) context.Context { return ctx }

func TestValidateMatchAndHooks(t *testing.T) {
	require.NoError(t, pipeline.Config{Match: few{twoBytes, 3}}.Validate())
	require.ErrorContains(t, pipeline.Config{Match: few{twoBytes, 2}}.Validate(), "fewer than 3")
	require.NoError(t, pipeline.Config{Match: twoBytes, Heartbeat: pipeline.Heartbeat{
		Interval: time.Second, Request: []byte("!"), Reply: isPong}}.Validate(), "it needs no number")
	require.NoError(t, pipeline.Config{Hooks: []any{onlyStarts{}}}.Validate())
}

// A push right behind the last reply is a push, whoever reads.
func TestPushBehindTheLastReply(t *testing.T) {
	var got []string
	onPush := func(_ context.Context, p *pipeline.Push) { got = append(got, string(p.Frame[2:])) }
	inBubble(t, pipeline.Config{Match: twoBytes, OnPush: onPush}, func(b *bubble) {
		first := b.call(bg, numbered(1, "alone"))
		p := b.accept()
		p.reply(numbered(p.askedNumbered("alone"), "reply"), numbered(0, "one"))
		first.replied(numbered(1, "reply"))
		first, second := b.call(bg, numbered(1, "first")), b.call(bg, numbered(1, "second"))
		fn, sn := p.askedNumbered("first"), p.askedNumbered("second")
		p.reply(numbered(fn, "reply"), numbered(sn, "reply"), numbered(0, "two"))
		first.replied(numbered(1, "reply"))
		second.replied(numbered(1, "reply"))
		quiet()
		require.Equal(b, []string{"one", "two"}, got)
		require.Equal(b, uint64(1), b.Stat().Dials)
	})
}

// When a call was written is its own time, whatever is written later; and what does not
// fit the format is not sent.
func TestWrittenIsEachCallsOwn(t *testing.T) {
	r := &recorder{}
	var tooLong error
	onPush := func(_ context.Context, p *pipeline.Push) { tooLong = p.Send(make([]byte, 1<<16)) }
	inBubble(t, pipeline.Config{Match: twoBytes, OnPush: onPush, StallTimeout: -1, Hooks: []any{r}}, func(b *bubble) {
		first := b.call(bg, numbered(1, "first"))
		p := b.accept()
		n := p.askedNumbered("first")
		time.Sleep(time.Second)
		second := b.call(bg, numbered(1, "second"))
		p.reply(numbered(0, "push"), numbered(p.askedNumbered("second"), "reply"), numbered(n, "reply"))
		first.replied(numbered(1, "reply"))
		second.replied(numbered(1, "reply"))
		for _, e := range r.calls {
			require.Equal(b, time.Duration(1), e.Written)
		}
		require.Len(b, r.calls, 2)
		quiet()
		require.Error(b, tooLong)
	})
}
