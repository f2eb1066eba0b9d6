package pipeline_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

var beat = pipeline.Heartbeat{Interval: 10 * time.Second, Timeout: 3 * time.Second, Request: []byte("??ping")}

func isPong(frame []byte) bool { return string(frame) == "pong" }

// A peer that goes silent is noticed within Interval and Timeout, whoever is
// waiting for it.
func TestHeartbeatNoticesSilence(t *testing.T) {
	ofItsOwn := beat
	ofItsOwn.Reply = isPong
	for _, c := range []struct {
		name string
		cfg  pipeline.Config
		busy bool
	}{
		{"idle", pipeline.Config{Heartbeat: beat}, false},
		{"idle, numbered", pipeline.Config{Heartbeat: beat, Match: twoBytes}, false},
		{"idle, with a reply of its own", pipeline.Config{Heartbeat: ofItsOwn}, false},
		{"with a patient caller", pipeline.Config{Heartbeat: beat}, true},
		{"with a patient caller, numbered", pipeline.Config{Heartbeat: beat, Match: twoBytes}, true},
		{"with a patient caller and a reply of its own", pipeline.Config{Heartbeat: ofItsOwn, Match: twoBytes}, true},
		{"without a limit for stalls", pipeline.Config{Heartbeat: beat, StallTimeout: -1, MaxLifetime: -1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.cfg, func(b *bubble) {
				o := b.call(bg, "1.request")
				p := b.accept()
				frame, err := p.frames.Next()
				require.NoError(b, err)
				p.reply(string(frame[:2]) + "reply")
				<-o.done
				require.NoError(b, o.err)
				silent := time.Now()
				if c.busy {
					o = b.call(bg, "1.request")
					o.failed(pipeline.ErrNoHeartbeat, true)
					require.True(b, o.err.(*pipeline.Error).Timeout())
				} else {
					for b.Stat().Open == 1 {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
				}
				require.InDelta(b, 13*time.Second, time.Since(silent), float64(2*time.Millisecond))
				require.Equal(b, pipeline.Ends{pipeline.Stalled: 1}, b.Stat().Ends)
			})
		})
	}
}

// A peer that replies to heartbeats, or sends anything else, is left alone.
func TestHeartbeatReplies(t *testing.T) {
	ofItsOwn := beat
	ofItsOwn.Reply = isPong
	for name, cfg := range map[string]pipeline.Config{
		"in order":    {Heartbeat: beat, MaxLifetime: -1},
		"numbered":    {Heartbeat: beat, Match: twoBytes, MaxLifetime: -1},
		"of its own":  {Heartbeat: ofItsOwn, MaxLifetime: -1},
		"of its own.": {Heartbeat: ofItsOwn, Match: twoBytes, MaxLifetime: -1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(b *bubble) {
				o := b.call(bg, "1.request")
				p := b.accept()
				beats := 0
				go func() {
					for {
						frame, err := p.frames.Next()
						if err != nil {
							return
						}
						reply := append([]byte(nil), frame...)
						if string(frame[2:]) == "ping" {
							time.Sleep(2 * time.Second) // late, but in time
							beats++
							if cfg.Heartbeat.Reply != nil {
								reply = []byte("pong")
							}
						}
						reply, _ = framing.Format{}.Append(nil, reply)
						_, _ = p.Write(reply)
					}
				}()
				o.replied("1.request")
				for range 20 {
					time.Sleep(37 * time.Second)
					o = b.call(bg, "1.request")
					o.replied("1.request")
				}
				require.InDelta(b, 20*3, beats, 20)
				require.Equal(b, uint64(21), b.Stat().Calls)
				require.Equal(b, uint64(21), b.Stat().Replies)
				require.Zero(b, b.Stat().Late)
				require.Zero(b, b.Stat().InFlight)
				require.Equal(b, uint64(1), b.Stat().Dials)
			})
		})
	}
}

// A heartbeat's reply that comes when its connection has been given up is
// nobody's.
func TestLateHeartbeatReply(t *testing.T) {
	inBubble(t, pipeline.Config{Heartbeat: beat, Match: twoBytes}, func(b *bubble) {
		o := b.call(bg, "1.request")
		p := b.accept()
		n := p.askedNumbered("request")
		pn := p.askedNumbered("ping")
		o.failed(pipeline.ErrNoHeartbeat, true)
		next := b.call(bg, "1.next")
		q := b.accept()
		nn := q.askedNumbered("next")
		_, _ = p.Write([]byte("\x00\x06" + numbered(pn, "late"))) // nobody reads it
		require.Equal(b, n, nn, "a number of another connection says nothing here")
		q.reply(numbered(nn, "reply"))
		next.replied("1.reply")
	})
}

// The same with a dropped flow, over real sockets.
func TestHeartbeatOverADroppedFlow(t *testing.T) {
	proxy, err := faultproxy.New(serve(t, echo(framing.Format{})), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	hb := pipeline.Heartbeat{Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Request: []byte("ping")}
	p := openTo(t, conn.Target{Address: proxy.Addr()}, framing.Format{}, pipeline.Config{Heartbeat: hb})
	replies := func() { // at last: a busy machine is as silent as a dropped flow
		for {
			if _, err := p.Call(bg, []byte("hello")); !errors.Is(err, pipeline.ErrNoHeartbeat) {
				require.NoError(t, err)
				return
			}
		}
	}
	replies()
	proxy.Freeze(true)
	start := time.Now()
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	_, err = p.Call(ctx, []byte("hello"))
	require.ErrorIs(t, err, pipeline.ErrNoHeartbeat)
	require.Less(t, time.Since(start), 10*time.Second)
	proxy.Freeze(false)
	replies()
}

// A peer that sends other things and no replies to heartbeats costs a number for
// each of them. There must be one for each call nevertheless: the search for a
// free one would never end.
func TestUnansweredHeartbeatsLeaveNumbers(t *testing.T) {
	cfg := pipeline.Config{Match: pipeline.Number{Size: 1}, Heartbeat: pipeline.Heartbeat{Interval: time.Second, Request: []byte("?ping")},
		OnPush: func(context.Context, *pipeline.Push) {}, MaxLifetime: -1, StallTimeout: -1}
	inBubble(t, cfg, func(b *bubble) {
		go func() { // a peer whose pong has no number
			for {
				nc, err := b.net.Accept()
				if err != nil {
					return
				}
				go pongWithoutNumber(nc)
			}
		}()
		for range 3 {
			b.call(bg, "1request").replied("1request")
			time.Sleep(300 * time.Second)
		}
	})
}

// pongWithoutNumber echoes requests, and replies to "ping" with a push.
func pongWithoutNumber(nc net.Conn) {
	defer nc.Close()
	for frames := framing.NewReader(nc, framing.Format{}); ; {
		frame, err := frames.Next()
		if err != nil {
			return
		}
		reply := append([]byte(nil), frame...)
		if string(frame[1:]) == "ping" {
			reply = []byte("\x00pong")
		}
		reply, _ = framing.Format{}.Append(nil, reply)
		_, _ = nc.Write(reply)
	}
}

// A heartbeat that does not fit the format would never be sent, and each
// connection would end for want of a reply.
func TestHeartbeatThatTheFormatCannotSay(t *testing.T) {
	hb := pipeline.Heartbeat{Interval: time.Second, Request: make([]byte, 11)}
	_, err := pipeline.New(conn.Target{Address: "127.0.0.1:1"}, framing.Format{MaxSize: 10}, pipeline.Config{Heartbeat: hb})
	var e *pipeline.ConfigError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "Heartbeat", e.Field)
	var size *framing.SizeError
	require.ErrorAs(t, err, &size)
}
