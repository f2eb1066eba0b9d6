package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// What a peer may do at any time; whatever it does, no call gets another's
// reply, and each says rightly whether it was written.
func TestPeerBreaksTheConnection(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *peer)
		want error
		ends pipeline.Ends
	}{
		{"closes", func(p *peer) { p.Close() }, io.EOF, pipeline.Ends{pipeline.PeerClosed: 1}},
		{"closes inside a reply", func(p *peer) { p.raw([]byte{0, 9, 'x'}); p.Close() },
			io.ErrUnexpectedEOF, pipeline.Ends{pipeline.PeerClosed: 1}},
		{"oversize reply", func(p *peer) { p.raw([]byte{1, 1}) },
			&framing.SizeError{}, pipeline.Ends{pipeline.Protocol: 1}},
	} {
		for _, callers := range []int{1, 3} {
			t.Run(c.name, func(t *testing.T) {
				setup{format: framing.Format{MaxSize: 256}}.run(t, func(b *bubble) {
					var calls []*outcome
					for range callers {
						calls = append(calls, b.call(bg, "request"))
					}
					p := b.accept()
					for range callers {
						p.asked("request")
					}
					c.do(p)
					for _, o := range calls {
						<-o.done
						var e *pipeline.Error
						require.ErrorAs(b, o.err, &e)
						require.True(b, e.Written)
						require.False(b, e.SafeToRetry())
						if size := (*framing.SizeError)(nil); errors.As(c.want, &size) {
							require.ErrorAs(b, o.err, &size)
						} else {
							require.ErrorIs(b, o.err, c.want)
						}
					}
					synctest.Wait()
					require.Equal(b, c.ends, b.Stat().Ends)
				})
			})
		}
	}
}

func TestUnsolicitedFrame(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		calls int // in flight when they come
		wait  func()
	}{
		{"beside a lone call's reply", []byte{0, 1, 'a', 0, 1, 'b'}, 1, func() {}},
		{"beside the last reply", []byte{0, 1, 'a', 0, 1, 'b', 0, 1, 'c'}, 2, func() {}},
		{"one byte too many", []byte{0, 1, 'a', 0}, 1, func() {}},
		{"while idle", []byte{0, 1, 'a'}, 0, quiet},
		{"a part of one while idle", []byte{0}, 0, quiet},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, pipeline.Config{}, func(b *bubble) {
				p := b.exchange()
				c.wait()
				var calls []*outcome
				for range c.calls {
					calls = append(calls, b.call(bg, "q"))
				}
				p.raw(c.bytes)
				for i, o := range calls {
					o.replied(string(rune('a' + i)))
				}
				synctest.Wait()
				require.Equal(b, pipeline.Ends{pipeline.Protocol: 1}, b.Stat().Ends)
				b.exchange()
			})
		})
	}
}

// A reply to a request that has not been written is nobody's.
func TestReplyBeforeTheRequest(t *testing.T) {
	inNarrowBubble(t, 64, func(b *bubble) {
		first := b.call(bg, "first")
		second := b.call(bg, string(make([]byte, 100))) // its write blocks
		third := b.call(bg, "third")
		p := b.accept()
		p.reply("to first", "to second") // only the peer knows that this is early
		first.replied("to first")
		second.replied("to second")
		p.reply("to third")
		third.failed(pipeline.ErrUnsolicited, false)
	})
}

// broke requires the call to have failed because the peer left, which a write
// may learn before the read does.
func (o *outcome) broke(written bool) {
	o.Helper()
	<-o.done
	for _, cause := range []error{syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(o.err, cause) {
			o.failed(cause, written)
			return
		}
	}
	o.failed(io.EOF, written)
}

// Of the calls on a connection that breaks, those not written are safe.
func TestUnwrittenCallsAreSafe(t *testing.T) {
	inNarrowBubble(t, 64, func(b *bubble) {
		long := string(make([]byte, 100))
		written := b.call(bg, "written")
		partly := b.call(bg, long)
		unwritten := b.call(bg, "unwritten")
		p := b.accept()
		require.NoError(b, p.Close())
		written.broke(true)
		partly.broke(true)
		unwritten.broke(false)
	})
}

// That holds to the byte: here a write has begun, and none of it got out.
func TestNotAByteWasWritten(t *testing.T) {
	inNarrowBubble(t, len("..12345"), func(b *bubble) {
		written := b.call(bg, "12345")
		unwritten := b.call(bg, "x")
		require.NoError(b, b.accept().Close())
		written.broke(true)
		unwritten.broke(false)
	})
}

// A server that closes idle connections is not noticed.
func TestIdleConnectionClosedByPeer(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		for range 3 {
			p := b.exchange()
			quiet()
			p.Close()
			synctest.Wait()
			require.Zero(b, b.Stat().Open)
		}
	})
}

// watchAfter is the pipeline's own: it does not read a connection sooner after a
// call, unless another one asks for it.
const watchAfter = 10 * time.Millisecond

// repliesOnce serves each connection with one echo of a frame of one byte. stop waits
// for its end.
func repliesOnce(t *testing.T) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			var frame [3]byte
			_, _ = io.ReadFull(nc, frame[:])
			_, _ = nc.Write(frame[:])
			_ = nc.Close()
		}
	}()
	return l.Addr().String(), func() {
		_ = l.Close()
		<-served
	}
}

// roundDials are the dials of one round of a test.
type roundDials struct {
	mu     sync.Mutex // guards what follows: a slow dial gets another beside it
	round  int
	begun  []time.Time
	done   time.Time
	socket net.Conn
}

func (r *roundDials) begin(round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.begun, r.done = round, nil, time.Time{}
}

func (r *roundDials) dial(ctx context.Context, addr string) (net.Conn, error) {
	r.mu.Lock()
	r.begun = append(r.begun, time.Now())
	round := r.round
	r.mu.Unlock()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && round == r.round {
		r.socket, r.done = nc, time.Now()
	}
	return nc, err
}

// times tells when the round's first dial began, or now without one, and when its
// only dial was done, or zero.
func (r *roundDials) times() (begun, done time.Time, socket net.Conn) {
	begun = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.begun) > 0 {
		begun = r.begun[0]
	}
	if len(r.begun) == 1 {
		done = r.done
	}
	return begun, done, r.socket
}

// On a socket the same holds even before the pipeline watches it.
func TestIdleSocketClosedByPeer(t *testing.T) {
	addr, stop := repliesOnce(t)
	defer stop()
	var dials roundDials
	p := openTo(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
		return dials.dial(ctx, addr)
	}}, framing.Format{}, pipeline.Config{})
	counted, rounds := 0, 0
	for last := (time.Time{}); counted < 50 && rounds < 200; rounds++ {
		dials.begin(rounds)
		reply, err := p.Call(bg, []byte{byte(rounds)})
		// The connection of the round before had its one call later than last. Later
		// than watchAfter its goroutine may be about to read that the peer has gone,
		// and the call is written. No timer fires early, so the clock tells which
		// rounds those are, whatever was held up.
		left, dialed, socket := dials.times()
		late := left.Sub(last) >= watchAfter
		last = dialed
		if late && err != nil {
			var e *pipeline.Error
			require.ErrorAs(t, err, &e)
			require.True(t, e.Written, "nothing else may go wrong: %v", err)
			require.Contains(t, []string{conn.KindPeerClosed, conn.KindReset}, conn.KindOf(err), "%v", err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []byte{byte(rounds)}, reply)
		if !late {
			counted++
		}
		for conn.New(socket).Check() == nil { // a look takes nothing; closed by the peer, or by p since
			runtime.Gosched()
		}
		// A call looks for itself, if the last one began a while ago.
		for replied := time.Now(); time.Since(replied) < time.Millisecond; {
			runtime.Gosched()
		}
	}
	t.Logf("%d of %d rounds counted", counted, rounds)
	if counted == 0 {
		t.Skip("too slow here for a call within watchAfter of the one before")
	}
}

// The while begins anew after a call that took long: the next one may still read, and
// look for itself, where the peer closes after each reply.
func TestNobodyReadsRightAfterASlowCall(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		o := b.call(bg, "request")
		p := b.accept()
		p.asked("request")
		time.Sleep(10 * watchAfter)
		p.reply("reply")
		o.replied("reply")
		p.Close()
		time.Sleep(watchAfter - 1)
		synctest.Wait()
		require.Equal(b, 1, b.Stat().Open)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Zero(b, b.Stat().Open)
	})
}

// The calls that come too late for a connection are moved once, not for ever.
func TestPeerThatClosesEveryConnection(t *testing.T) {
	inBubbleDialing(t, pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			return &deaf{nc}, err
		}, func(b *bubble) {
			b.call(bg, "request").failed(syscall.EPIPE, false)
			require.Equal(b, uint64(2), b.Stat().Dials)
		})
	dials := 0
	backoff := conn.DialBackoff{After: 1, Min: time.Second}
	inBubbleDialing(t, pipeline.Config{DialBackoff: backoff}, noPeer(func(context.Context) (net.Conn, error) {
		dials++
		a, c := memnet.Pipe()
		_ = c.Close()
		return a, nil
	}), func(b *bubble) {
		o := b.call(bg, "request")
		<-o.done
		require.Error(b, o.err)
		require.LessOrEqual(b, dials, 2)
		dials = 0
		for range 100 {
			o := b.call(bg, "request")
			<-o.done
			require.Error(b, o.err)
			require.True(b, o.err.(*pipeline.Error).SafeToRetry())
		}
		require.Zero(b, dials, "a connection that never replies counts as a failed dial")
	})
}

// deaf is a connection whose peer no longer listens.
type deaf struct{ net.Conn }

func (deaf) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// resets is a connection on which every read fails.
type resets struct {
	net.Conn
	err error
}

func (r *resets) Read([]byte) (int, error) { return 0, r.err }

func TestResetIsThePeersDoing(t *testing.T) {
	for _, err := range []error{syscall.ECONNRESET, syscall.Errno(10054)} { // as Unix and Windows say it
		inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
			nc, dialErr := l.Dial(ctx)
			return &resets{nc, err}, dialErr
		}, func(b *bubble) {
			b.call(bg, "request").failed(err, true)
			require.Equal(b, pipeline.Ends{pipeline.PeerClosed: 1}, b.Stat().Ends)
		})
	}
}
