package pipeline_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// goroutines counts those that are in a method of a connection.
func goroutines(method string) (n int) {
	b := make([]byte, 1<<20)
	for _, one := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(one, "pipeline.(*sharedConn)."+method) {
			n++
		}
	}
	return n
}

// A connection has one goroutine while it is quiet, however many calls it has had.
func TestAQuietConnectionHasOneGoroutine(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		p := b.exchange()
		for range 3 {
			quiet()
			require.Equal(b, 1, goroutines(""), "quiet")
			one, two := b.call(bg, "one"), b.call(bg, "two")
			p.asked("one")
			p.asked("two")
			p.reply("1", "2")
			one.replied("1")
			two.replied("2")
			require.Greater(b, goroutines(""), 1, "one that writes stays for a while")
		}
	})
}

// After a rare call the connection is watched at once, without a pause in which a
// caller could read it.
func TestAfterARareCallTheConnectionIsWatched(t *testing.T) {
	for name, c := range map[string]struct {
		then func(p *peer)
		ends pipeline.Ends
	}{
		"the peer closes":           {func(p *peer) { require.NoError(p, p.Close()) }, pipeline.Ends{pipeline.PeerClosed: 1}},
		"the peer sends a frame":    {func(p *peer) { p.reply("unsolicited") }, pipeline.Ends{pipeline.Protocol: 1}},
		"the peer sends two":        {func(p *peer) { p.reply("unsolicited", "too") }, pipeline.Ends{pipeline.Protocol: 1}},
		"the peer sends half a one": {func(p *peer) { p.raw([]byte{0}) }, pipeline.Ends{pipeline.Protocol: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pipeline.Config{}, func(b *bubble) {
				p := b.exchange()
				quiet()
				o := b.call(bg, "rare")
				p.asked("rare")
				p.reply("reply")
				o.replied("reply")
				synctest.Wait()
				c.then(p)
				synctest.Wait()
				require.Equal(b, c.ends, b.Stat().Ends)
			})
		})
	}
}

// Calls that are not rare find the connection free: a lone caller reads its reply.
func TestCallsAfterARareOne(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		p := b.exchange()
		quiet()
		for range 20 {
			o := b.call(bg, "request")
			p.asked("request")
			p.reply("reply")
			o.replied("reply")
			time.Sleep(time.Millisecond)
		}
		o := b.call(bg, "request")
		require.Equal(b, 1, goroutines("inlineCall"))
		p.asked("request")
		p.reply("reply")
		o.replied("reply")
	})
}

// A call on a quiet connection does not put off what was due before.
func TestARareCallPutsOffNoHeartbeat(t *testing.T) {
	inBubble(t, pipeline.Config{Heartbeat: beat, StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		heard := time.Now()
		time.Sleep(beat.Interval - 5*time.Millisecond)
		o := b.call(bg, "request")
		p.asked("request")
		p.asked("??ping")
		require.Equal(b, beat.Interval, time.Since(heard))
		p.reply("reply", "pong")
		o.replied("reply")
	})
}

// A lone caller's reply counts as received too, also while calls come so fast that
// callers read all of them: the next heartbeat is Interval after the last one.
func TestRepliesToLoneCallersPutOffTheHeartbeat(t *testing.T) {
	inBubble(t, pipeline.Config{Heartbeat: beat, StallTimeout: -1}, func(b *bubble) {
		p := b.exchange()
		for begun := time.Now(); time.Since(begun) < 2*beat.Interval; time.Sleep(5 * time.Millisecond) {
			o := b.call(bg, "request")
			p.asked("request")
			p.reply("reply")
			o.replied("reply")
		}
		heard := time.Now().Add(-5 * time.Millisecond)
		o := b.call(bg, "slow")
		require.Equal(b, 1, goroutines("inlineCall"))
		p.asked("slow")
		p.asked("??ping")
		require.GreaterOrEqual(b, time.Since(heard), beat.Interval)
		p.reply("reply", "pong")
		o.replied("reply")
	})
}
