package pipeline_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// twoBytes is the place of the number in these tests, as in DNS and Modbus/TCP.
var twoBytes = pipeline.Number{Size: 2}

// numbered is a request or reply with a number in front.
func numbered(n int, text string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(n))) + text
}

// askedNumbered reads a request and returns its number.
func (p *peer) askedNumbered(want string) int {
	p.Helper()
	frame, err := p.frames.Next()
	require.NoError(p, err)
	require.Equal(p, want, string(frame[2:]))
	return int(binary.BigEndian.Uint16(frame))
}

func TestRepliesInAnyOrder(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		first := b.call(bg, numbered(7, "first"))
		p := b.accept()
		a := p.askedNumbered("first")
		second := b.call(bg, numbered(7, "second"))
		third := b.call(bg, numbered(7, "third"))
		bn, cn := p.askedNumbered("second"), p.askedNumbered("third")
		require.Len(b, map[int]bool{a: true, bn: true, cn: true}, 3, "numbers differ, although the callers' are the same")
		p.reply(numbered(cn, "to third"))
		third.replied(numbered(7, "to third"))
		first.pending()
		p.reply(numbered(a, "to first"))
		first.replied(numbered(7, "to first"))
		second.pending()
		p.reply(numbered(bn, "to second"))
		second.replied(numbered(7, "to second"))
		require.Equal(b, uint64(3), b.Stat().Replies)

		last := b.call(bg, numbered(0xffff, "alone"))
		p.reply(numbered(p.askedNumbered("alone"), ""))
		last.replied(numbered(0xffff, ""))
	})
}

// Where replies carry the number elsewhere, with another size and byte order.
func TestNumberPlaces(t *testing.T) {
	for _, c := range []pipeline.Number{
		{Size: 1}, {Size: 3}, {Size: 4}, {Size: 8}, {Offset: 5, Size: 2}, {Offset: 1, Size: 2, LittleEndian: true},
		{Size: 8, LittleEndian: true},
		{Offset: 4, Size: 4, Reply: &pipeline.Number{Offset: 0, Size: 4, LittleEndian: true}},
		{Offset: 0, Size: 4, Reply: &pipeline.Number{Offset: 6, Size: 2}},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			inBubble(t, pipeline.Config{Match: c}, func(b *bubble) {
				request := []byte("0123456789abcdef")
				for i := range 20 {
					o := b.call(bg, string(request))
					var p *peer
					if i == 0 {
						p = b.accept()
						b.peer = p
					} else {
						p = b.peer
					}
					frame, err := p.frames.Next()
					require.NoError(b, err)
					require.Equal(b, request[:c.Offset], frame[:c.Offset])
					require.Equal(b, request[c.Offset+c.Size:], frame[c.Offset+c.Size:])
					n, ok := pipeline.Number{Offset: c.Offset, Size: c.Size, LittleEndian: c.LittleEndian}.Get(frame)
					require.True(b, ok)
					require.Equal(b, uint64(i+1), n)
					place := c
					if c.Reply != nil {
						place = *c.Reply
					}
					reply := []byte("ABCDEFGHIJKLMNOP")
					pipeline.Number{Offset: place.Offset, Size: place.Size, LittleEndian: place.LittleEndian}.Restore(reply, n)
					p.reply(string(reply))
					<-o.done
					require.NoError(b, o.err)
					old, _ := pipeline.Number{Offset: c.Offset, Size: c.Size, LittleEndian: c.LittleEndian}.Get(request)
					want := []byte("ABCDEFGHIJKLMNOP")
					pipeline.Number{Offset: place.Offset, Size: place.Size, LittleEndian: place.LittleEndian}.Restore(want, old)
					require.Equal(b, string(want), o.reply)
				}
			})
		})
	}
}

// What a peer sends that is the reply to no call is never a call's.
func TestNumbersOfNoCall(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames func(n int) []string // n is the number of the call in flight
		ends   bool
		late   uint64
	}{
		{"a number that no call has had", func(n int) []string { return []string{numbered(n+2, "x")} }, true, 0},
		{"zero", func(int) []string { return []string{numbered(0, "x")} }, true, 0},
		{"a frame too short for a number", func(int) []string { return []string{"x"} }, true, 0},
		{"an empty frame", func(int) []string { return []string{""} }, true, 0},
		{"the number of a call that has its reply", func(n int) []string {
			return []string{numbered(n-1, "again"), numbered(n-1, "and again")}
		}, false, 2},
	} {
		for _, many := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, many), func(t *testing.T) {
				inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
					o := b.call(bg, numbered(1, "earlier"))
					p := b.accept()
					p.reply(numbered(p.askedNumbered("earlier"), "reply"))
					o.replied(numbered(1, "reply"))
					o = b.call(bg, numbered(1, "request"))
					n := p.askedNumbered("request")
					var other *outcome
					if many {
						other = b.call(bg, numbered(1, "other"))
						p.askedNumbered("other")
					}
					p.reply(c.frames(n)...)
					if c.ends {
						o.failed(pipeline.ErrUnsolicited, true)
						if many {
							other.failed(pipeline.ErrUnsolicited, true)
						}
						synctest.Wait()
						require.Equal(b, pipeline.Ends{pipeline.Protocol: 1}, b.Stat().Ends)
						return
					}
					o.pending()
					p.reply(numbered(n, "reply"))
					o.replied(numbered(1, "reply"))
					if many {
						p.reply(numbered(n+1, "reply"))
						other.replied(numbered(1, "reply"))
					}
					require.Equal(b, c.late, b.Stat().Late)
				})
			})
		}
	}
}

// A reply to a request that has not been written yet is nobody's.
func TestNumberedReplyBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 1)}
		b.run(b.narrow(64), pipeline.Config{Match: twoBytes}, func(b *bubble) {
			first := b.call(bg, numbered(0, "first"))
			second := b.call(bg, numbered(0, string(make([]byte, 100)))) // its write blocks
			third := b.call(bg, numbered(0, "third"))
			p := b.accept()
			p.reply(numbered(3, "guessed"))
			third.failed(pipeline.ErrUnsolicited, false)
			second.failed(pipeline.ErrUnsolicited, true)
			first.failed(pipeline.ErrUnsolicited, true)
		})
	})
}

func TestRequestTooShortForItsNumber(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		for range 3 {
			o := b.call(bg, "x")
			o.fails(pipeline.ErrNoNumber)
			require.False(b, o.err.(*pipeline.Error).SafeToRetry(), "it fails again")
		}
		o := b.call(bg, numbered(1, ""))
		p := b.accept()
		p.reply(numbered(p.askedNumbered(""), ""))
		o.replied(numbered(1, ""))
	})
}

// When all numbers are in use callers wait, within their contexts.
func TestNumbersExhausted(t *testing.T) {
	inBubble(t, pipeline.Config{Match: pipeline.Number{Size: 1}, StallTimeout: -1}, func(b *bubble) {
		ctx, cancel := context.WithCancel(bg)
		var abandoned, patient []*outcome
		for i := range 254 {
			if i%2 == 0 {
				abandoned = append(abandoned, b.call(ctx, "?given up"))
			} else {
				patient = append(patient, b.call(bg, "?patient"))
			}
		}
		p := b.accept()
		numbers := map[byte]bool{}
		var givenUp, others []byte
		for i := range 254 {
			frame, err := p.frames.Next()
			require.NoError(b, err)
			require.False(b, numbers[frame[0]])
			require.NotZero(b, frame[0])
			numbers[frame[0]] = true
			if i%2 == 0 {
				givenUp = append(givenUp, frame[0])
			} else {
				others = append(others, frame[0])
			}
		}
		cancel()
		for _, o := range abandoned {
			o.failed(context.Canceled, true)
		}
		hasty, stop := context.WithTimeout(bg, time.Second)
		defer stop()
		b.call(hasty, "?hasty").failed(context.DeadlineExceeded, false)
		waits := b.call(bg, "?waits")
		waits.pending() // the given-up calls' numbers may not be used again
		p.reply(string(givenUp[3:4]) + "late")
		waits.pending() // but for the one that has had its reply
		frame, err := p.frames.Next()
		require.NoError(b, err)
		require.Equal(b, "waits", string(frame[1:]))
		require.NotContains(b, append(others, givenUp...), frame[0], "the one used longest ago: here, the one never used")
		p.reply(string(frame[:1]) + "reply")
		waits.replied("?reply")
		for i, n := range others {
			p.reply(string([]byte{n}) + strconv.Itoa(i))
		}
		for i, o := range patient {
			o.replied("?" + strconv.Itoa(i))
		}
	})
}

// The numbers begin again at 1, without those that are in use.
func TestNumbersBeginAgain(t *testing.T) {
	inBubble(t, pipeline.Config{Match: pipeline.Number{Size: 1}, StallTimeout: -1}, func(b *bubble) {
		slow := b.call(bg, "?slow")
		p := b.accept()
		p.asked("\x01slow")
		last := byte(1)
		for range 600 {
			o := b.call(bg, "?fast")
			frame, err := p.frames.Next()
			require.NoError(b, err)
			require.NotContains(b, []byte{0, 1, last}, frame[0], "nobody's, the slow one's, the one before")
			last = frame[0]
			p.reply(string(frame[:1]) + "reply")
			o.replied("?reply")
		}
		p.reply("\x01at last")
		slow.replied("?at last")
		require.Zero(b, b.Stat().Late)
		p.reply("\x01again")
		quiet()
		require.Equal(b, uint64(1), b.Stat().Late)
	})
}

// A slow request holds up nobody. In order it would be all.
func TestSlowRequestHoldsUpNobody(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes}, func(b *bubble) {
		slow := b.call(bg, numbered(1, "slow"))
		p := b.accept()
		n := p.askedNumbered("slow")
		go func() {
			time.Sleep(time.Second)
			p.reply(numbered(n, "reply"))
		}()
		start := time.Now()
		for range 1000 {
			o := b.call(bg, numbered(2, "fast"))
			p.reply(numbered(p.askedNumbered("fast"), "reply"))
			o.replied(numbered(2, "reply"))
		}
		require.Zero(b, time.Since(start), "the fast ones do not wait")
		slow.pending()
		slow.replied(numbered(1, "reply"))
		require.Equal(b, uint64(1), b.Stat().Dials)
	})
}

// A server that replies to everything with one number leaves the others
// without replies, and is left.
func TestServerOfOneNumber(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes, StallTimeout: time.Second}, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
		defer cancel()
		var calls []*outcome
		for range 5 {
			calls = append(calls, b.call(ctx, numbered(9, "request")))
		}
		p := b.accept()
		n := p.askedNumbered("request")
		for range 5 {
			p.reply(numbered(n, "reply"))
		}
		calls[0].replied(numbered(9, "reply"))
		for _, o := range calls[1:] {
			o.failed(context.DeadlineExceeded, true)
		}
		require.Equal(b, uint64(4), b.Stat().Late)
		time.Sleep(2 * time.Second)
		require.Equal(b, uint64(1), b.Stat().Ends[pipeline.Stalled])
	})
}

// A connection that brings other replies, but never the one to a call that was
// given up, is replaced: its number and permit come back.
func TestLostReplyRetiresTheConnection(t *testing.T) {
	inBubble(t, pipeline.Config{Match: twoBytes, StallTimeout: 10 * time.Second}, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, time.Second/10)
		defer cancel()
		lost := b.call(ctx, numbered(1, "lost"))
		p := b.accept()
		p.askedNumbered("lost")
		lost.failed(context.DeadlineExceeded, true)
		patient := b.call(bg, numbered(1, "patient"))
		slow := p.askedNumbered("patient")
		for range 60 {
			time.Sleep(301 * time.Millisecond)
			if b.Stat().Dials == 2 {
				break
			}
			o := b.call(bg, numbered(1, "other"))
			p.reply(numbered(p.askedNumbered("other"), "reply"))
			o.replied(numbered(1, "reply"))
		}
		require.Equal(b, uint64(2), b.Stat().Dials)
		next := b.call(bg, numbered(1, "next"))
		q := b.accept()
		q.reply(numbered(q.askedNumbered("next"), "reply"))
		next.replied(numbered(1, "reply"))
		for range 5 {
			time.Sleep(3 * time.Second)
			p.reply(numbered(slow+1, "again")) // it is not silent
		}
		require.Equal(b, uint64(2), b.Stat().Dials, "one successor is enough")
		patient.pending() // what is waited for is not cut off
		p.reply(numbered(slow, "reply"))
		patient.replied(numbered(1, "reply"))
		time.Sleep(time.Second)
		require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
		require.Zero(b, b.Stat().InFlight)
	})
}

func TestMatchValidate(t *testing.T) {
	push := func(context.Context, *pipeline.Push) {}
	for _, c := range []struct {
		field string
		cfg   pipeline.Config
	}{
		{"", pipeline.Config{Match: twoBytes, OnPush: push}},
		{"Match", pipeline.Config{Match: pipeline.Number{}}},
		{"Match", pipeline.Config{Match: pipeline.Number{Size: 9}}},
		{"Match", pipeline.Config{Match: pipeline.Number{Offset: -1, Size: 2}}},
		{"Match", pipeline.Config{Match: pipeline.Number{Size: 2, Reply: &pipeline.Number{Size: 0}}}},
		{"Match", pipeline.Config{Match: pipeline.Number{Size: 2, Reply: &pipeline.Number{Offset: -1, Size: 2}}}},
		{"OnPush", pipeline.Config{OnPush: push}},
		{"Heartbeat", pipeline.Config{Heartbeat: pipeline.Heartbeat{Timeout: -1}}},
		{"Heartbeat", pipeline.Config{Match: twoBytes, Heartbeat: pipeline.Heartbeat{Interval: 1, Request: []byte("x")}}},
	} {
		err := c.cfg.Validate()
		if c.field == "" {
			require.NoError(t, err)
			continue
		}
		var e *pipeline.ConfigError
		require.ErrorAs(t, err, &e)
		require.Equal(t, c.field, e.Field)
	}
	err := pipeline.Config{Match: twoBytes, Heartbeat: pipeline.Heartbeat{Interval: 1, Request: []byte("x")}}.Validate()
	require.True(t, errors.Is(err, pipeline.ErrNoNumber))
}
