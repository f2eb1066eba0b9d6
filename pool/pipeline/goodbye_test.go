package pipeline_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// What the peer had not replied to when it said goodbye moves to another
// connection.
func TestGoodbye(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  pipeline.Config
		bye  func(p *peer)
		ends pipeline.Ends
	}{
		{"in order", pipeline.Config{Goodbye: []byte("bye")}, func(p *peer) { p.reply("bye") },
			pipeline.Ends{pipeline.Goodbye: 1}},
		{"numbered", pipeline.Config{Goodbye: []byte("bye"), Match: twoBytes}, func(p *peer) { p.reply("bye") },
			pipeline.Ends{pipeline.Goodbye: 1}},
		{"with pushes", pipeline.Config{Goodbye: []byte("b"), Match: twoBytes, OnPush: func(context.Context, *pipeline.Push) {
			panic("a goodbye is no push")
		}}, func(p *peer) { p.reply("b") }, pipeline.Ends{pipeline.Goodbye: 1}},
		{"of one byte", pipeline.Config{Goodbye: []byte("b")}, func(p *peer) { p.reply("b") },
			pipeline.Ends{pipeline.Goodbye: 1}},
		{"and closes", pipeline.Config{Goodbye: []byte("bye")}, func(p *peer) {
			b, _ := framing.Format{}.Append(nil, []byte("bye"))
			_, _ = p.Write(b)
			_ = p.Close()
			synctest.Wait()
		}, pipeline.Ends{pipeline.Goodbye: 1}},
		{"closes", pipeline.Config{CloseIsGoodbye: true}, func(p *peer) { p.Close(); synctest.Wait() },
			pipeline.Ends{pipeline.PeerClosed: 1}},
	} {
		for _, calls := range []int{1, 4} {
			t.Run(c.name, func(t *testing.T) {
				inBubble(t, c.cfg, func(b *bubble) {
					var all []*outcome
					for range calls {
						all = append(all, b.call(bg, "\x00\x07request"))
					}
					p := b.accept()
					for i := range calls {
						frame, err := p.frames.Next()
						require.NoError(b, err)
						if i == 0 && calls > 1 {
							p.reply(string(frame))
							all[0].replied("\x00\x07request")
						}
					}
					c.bye(p)
					q := b.accept()
					moved := all[min(1, calls-1):]
					for range moved {
						frame, err := q.frames.Next()
						require.NoError(b, err)
						q.reply(string(frame))
					}
					for _, o := range moved {
						o.replied("\x00\x07request")
					}
					require.Equal(b, c.ends, b.Stat().Ends)
				})
			})
		}
	}
}

// A call moves once for each connection that there can be; after that its error
// says that it is safe to retry, although it was written.
func TestGoodbyeAgainAndAgain(t *testing.T) {
	inBubble(t, pipeline.Config{Goodbye: []byte("bye")}, func(b *bubble) {
		first, second := b.call(bg, "first"), b.call(bg, "second")
		for range 3 {
			p := b.accept()
			for range 2 {
				_, err := p.frames.Next()
				require.NoError(b, err)
			}
			p.reply("bye")
		}
		for _, o := range []*outcome{first, second} {
			o.fails(pipeline.ErrGoodbye)
			e := o.err.(*pipeline.Error)
			require.True(b, e.Written)
			require.True(b, e.Unhandled)
			require.True(b, e.SafeToRetry())
		}
	})
}

// A server that says goodbye to an idle connection costs the next call nothing.
func TestGoodbyeWhileIdle(t *testing.T) {
	inBubble(t, pipeline.Config{Goodbye: []byte("bye")}, func(b *bubble) {
		p := b.exchange()
		quiet()
		p.reply("bye")
		require.Zero(b, b.Stat().Open)
		p = b.exchange()
		p.reply("bye") // before anybody watches
		o := b.call(bg, "request")
		q := b.accept()
		q.asked("request")
		q.reply("reply")
		o.replied("reply")
		require.Equal(b, uint64(2), b.Stat().Ends[pipeline.Goodbye])
	})
}

// A pipeline keeps the goodbye and the heartbeat that it was made with, whatever becomes
// of the slices: its own, and those of another pipeline with equal settings.
func TestGoodbyeIsKept(t *testing.T) {
	for name, others := range map[string]bool{"its own slice": false, "another pipeline's": true} {
		t.Run(name, func(t *testing.T) {
			changed := pipeline.Config{Goodbye: []byte("bye"), Heartbeat: pipeline.Heartbeat{
				Interval: time.Minute, Request: []byte("ping"),
			}}
			cfg := changed
			if others {
				p, err := pipeline.New(conn.Target{Address: "another:1"}, framing.Format{}, changed)
				require.NoError(t, err)
				require.NoError(t, p.Close())
				cfg.Goodbye, cfg.Heartbeat.Request = []byte("bye"), []byte("ping")
			}
			inBubble(t, cfg, func(b *bubble) {
				changed.Goodbye[0], changed.Heartbeat.Request[0] = '?', '?'
				p := b.exchange()
				time.Sleep(90 * time.Second)
				p.asked("ping")
				p.reply("pong")
				quiet()
				p.reply("bye")
				require.Zero(b, b.Stat().Open)
				require.EqualValues(b, 1, b.Stat().Ends[pipeline.Goodbye])
			})
		})
	}
}

// Without a goodbye, or inside a reply, the end of the stream says nothing.
func TestCloseThatIsNoGoodbye(t *testing.T) {
	inBubble(t, pipeline.Config{CloseIsGoodbye: true}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.raw([]byte{0, 5, 'r'})
		p.Close()
		o.failed(io.ErrUnexpectedEOF, true)
	})
	inBubble(t, pipeline.Config{Goodbye: []byte("bye")}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		p.Close()
		o.failed(io.EOF, true)
	})
}

// The goodbye counts even if a write has failed before it was read.
func TestGoodbyeBehindAFailedWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there a reset destroys what has arrived, the goodbye too")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	p := open(t, l.Addr().String(), pipeline.Config{Goodbye: []byte("bye")})
	for range 20 {
		done := make(chan error, 1)
		go func() {
			_, err := p.Call(bg, make([]byte, 60_000)) // by the connection's writer
			done <- err
		}()
		nc, err := l.Accept()
		require.NoError(t, err)
		b, _ := framing.Format{}.Append(nil, []byte("bye"))
		_, err = nc.Write(b)
		require.NoError(t, err)
		require.NoError(t, nc.Close()) // unread bytes: it resets
		nc, err = l.Accept()
		require.NoError(t, err)
		_, err = io.ReadFull(nc, make([]byte, 60_002))
		require.NoError(t, err)
		b, _ = framing.Format{}.Append(nil, []byte("reply"))
		_, err = nc.Write(b)
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.NoError(t, nc.Close())
		for p.Stat().Open > 0 {
		}
	}
}
