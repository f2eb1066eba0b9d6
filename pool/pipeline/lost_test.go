package pipeline_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// slowHeartbeat leaves a connection that owes a reply silent for more than a tenth of
// StallTimeout.
var slowHeartbeat = pipeline.Heartbeat{Interval: 3 * time.Second, Timeout: 10 * time.Second, Request: []byte("??ping")}

// Two connections each owe a reply that never comes, and bring replies to heartbeats,
// one after the other. A third one is as many as there may be. Both are replaced, or
// else the numbers of their calls would be in use for ever.
func TestLostRepliesOnSeveralConnections(t *testing.T) {
	cfg := pipeline.Config{MaxConns: 2, Match: twoBytes, Heartbeat: slowHeartbeat, MaxLifetime: -1,
		OnPush: func(context.Context, *pipeline.Push) {}}
	inBubble(t, cfg, func(b *bubble) {
		conns := make(chan net.Conn, 100)
		go b.losesPolls(conns)
		ctx, cancel := context.WithCancel(bg)
		first := b.call(ctx, numbered(1, "poll"))
		b.call(bg, numbered(1, "x")).replied(numbered(1, "x")) // the second is dialed
		second := b.call(ctx, numbered(1, "poll"))
		require.Equal(b, 2, b.Stat().Open)
		cancel()
		first.failed(context.Canceled, true)
		second.failed(context.Canceled, true)
		<-conns
		time.Sleep(1500 * time.Millisecond)
		push, _ := framing.Format{}.Append(nil, []byte(numbered(0, "push")))
		_, _ = (<-conns).Write(push) // their heartbeats come at different times
		time.Sleep(time.Second)
		b.call(bg, numbered(1, "x")).replied(numbered(1, "x"))
		require.Equal(b, 3, b.Stat().Open, "both are silent")
		time.Sleep(time.Minute)
		require.Zero(b, b.Stat().InFlight)
		require.Equal(b, pipeline.Ends{pipeline.Stalled: 2}, b.Stat().Ends)
		require.LessOrEqual(b, b.Stat().Open, 2)
	})
}

// The same with callers that wait: the lifetime of their connections is over.
func TestLifetimeOfSilentConnections(t *testing.T) {
	cfg := pipeline.Config{Match: twoBytes, Heartbeat: slowHeartbeat, MaxLifetime: 20 * time.Second}
	inBubble(t, cfg, func(b *bubble) {
		go b.losesPolls(make(chan net.Conn, 100))
		ctx, cancel := context.WithCancel(bg)
		first := b.call(ctx, numbered(1, "poll"))
		time.Sleep(1500 * time.Millisecond)
		second := b.call(ctx, numbered(1, "poll"))
		require.Equal(b, 2, b.Stat().Open, "the first is silent")
		time.Sleep(23 * time.Second)
		first.pending()
		second.pending()
		require.LessOrEqual(b, b.Stat().Open, 2)
		cancel()
		first.failed(context.Canceled, true)
		second.failed(context.Canceled, true)
		synctest.Wait()
		require.Zero(b, b.Stat().InFlight)
		require.Equal(b, uint64(2), b.Stat().Ends.Total())
		require.NotZero(b, b.Stat().Ends[pipeline.Expired])
		b.call(bg, numbered(1, "x")).replied(numbered(1, "x"))
	})
}

// losesPolls serves every connection, and replies to all but polls.
func (b *bubble) losesPolls(conns chan<- net.Conn) {
	for {
		nc, err := b.net.Accept()
		if err != nil {
			return
		}
		conns <- nc
		go func() {
			defer nc.Close()
			for r := framing.NewReader(nc, framing.Format{}); ; {
				frame, err := r.Next()
				if err != nil {
					return
				}
				if string(frame[2:]) != "poll" {
					reply, _ := framing.Format{}.Append(nil, frame)
					_, _ = nc.Write(reply)
				}
			}
		}()
	}
}
