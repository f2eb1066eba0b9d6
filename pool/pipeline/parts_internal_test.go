package pipeline

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// still returns a connection that nobody runs, and its other end.
func still(t *testing.T, c Config) (*sharedConn, net.Conn) {
	p, err := New(conn.Target{Address: "unused:1"}, framing.Format{}, c)
	require.NoError(t, err)
	here, there := memnet.Pipe()
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return newSharedConn(p, conn.New(here)), there
}

func TestDefaults(t *testing.T) {
	require.Equal(t, Config{MaxConns: 1, MaxInFlight: 4096, DialTimeout: 30 * time.Second,
		StallTimeout: 10 * time.Second, MaxLifetime: 600 * time.Second}, Config{}.withDefaults())
	for range 100 { // however short, a lifetime can be shortened
		for _, limit := range []time.Duration{1, 5, 15, 1000} {
			c := Config{MaxLifetime: limit}
			require.LessOrEqual(t, c.lifetime(), limit)
			require.GreaterOrEqual(t, c.lifetime(), limit-limit/10)
		}
	}
}

// Pipelines with the same settings share them, and those with code in them do not.
func TestSharedConfig(t *testing.T) {
	plain := Config{Match: Number{Size: 2}}
	require.Same(t, plain.shared(), plain.shared())
	require.Same(t, Config{}.shared(), Config{}.shared())
	last := Config{}.shared()
	for name, c := range map[string]Config{
		"Match":        {Match: touchless{}},
		"Match.Reply":  {Match: Number{Size: 2, Reply: &Number{Size: 2}}},
		"AfterConnect": {AfterConnect: func(context.Context, *conn.Conn) error { return nil }},
		"OnPush":       {OnPush: func(context.Context, *Push) {}},
		"Heartbeat":    {Heartbeat: Heartbeat{Reply: func([]byte) bool { return false }}},
		"Hooks":        {Hooks: []any{&touchless{}}},
	} {
		require.NotSame(t, c.shared(), c.shared(), name)
		require.Same(t, last, Config{}.shared(), "%s: code is not kept for others", name)
	}
}

// touchless is a Matcher and a hook.
type touchless struct{ Number }

func (touchless) AfterEnd(EndEvent) {}

func TestRetirements(t *testing.T) {
	for _, cause := range []error{errExpired, errIdle, errSurplus, errEvicted} {
		require.True(t, isRetirement(cause), cause.Error())
	}
	for _, cause := range []error{ErrClosed, ErrStalled, ErrGoodbye, io.EOF} {
		require.False(t, isRetirement(cause), cause.Error())
	}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.Errno(10053), syscall.Errno(10054)} {
		require.True(t, peerLeft(&net.OpError{Op: "read", Err: err}), err.Error())
	}
	require.False(t, peerLeft(os.ErrDeadlineExceeded))
}

// without is a layer that has lost what was below it.
type without struct{ net.Conn }

func (without) NetConn() net.Conn { return nil }

func TestWhatIsUnderAConnection(t *testing.T) {
	here, there := memnet.Pipe()
	defer here.Close()
	defer there.Close()
	for name, c := range map[string]struct {
		nc             net.Conn
		socket, opaque bool
	}{
		"TCP":           {&net.TCPConn{}, true, false},
		"Unix":          {&net.UnixConn{}, true, false},
		"TLS":           {tls.Client(&net.TCPConn{}, nil), true, true},
		"memory":        {here, false, false},
		"no more":       {without{here}, false, true},
		"TLS on memory": {tls.Client(here, nil), false, true},
	} {
		require.Equal(t, c.socket, onSocket(c.nc), name)
		require.Equal(t, c.opaque, opaque(c.nc), name)
	}
}

// A reply to a lone caller whose request has not been written is nobody's.
func TestReplyBeforeALoneRequest(t *testing.T) {
	s, _ := still(t, Config{})
	s.p.lastErr = io.EOF
	c, inline, write, err := s.submit(nil, make([]byte, directMax+1), dueNever, false)
	require.NoError(t, err)
	require.True(t, inline)
	require.Nil(t, write, "that is for the writer")
	require.False(t, s.finishInline(c))
	require.Equal(t, ErrUnsolicited, s.err)
	require.Nil(t, s.spareCall, "the call is still in the queue")
	require.Equal(t, io.EOF, s.p.lastErr, "no reply")
	require.Equal(t, 1, s.queue.len())
}

// A lone caller that leaves takes back the deadline that ended its read, and wakes the
// connection's goroutine if that has something to do.
func TestLoneCallerLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		before func(s *sharedConn)
		wakes  bool
		turn   turn
	}{
		"in peace":                 {func(s *sharedConn) {}, false, nobody},
		"its time was over":        {func(s *sharedConn) { s.cutLoneLocked() }, false, nobody},
		"the connection has ended": {func(s *sharedConn) { s.err = ErrClosed }, true, nobody},
		"it is waited for":         {func(s *sharedConn) { s.parked = true }, true, nobody},
		"others are there":         {func(s *sharedConn) { s.queue.push(&call{}) }, true, readerLoop},
	} {
		t.Run(name, func(t *testing.T) {
			s, there := still(t, Config{})
			s.reading = readerCaller
			c.before(s)
			s.passTurn(nil)
			require.Equal(t, c.turn, s.reading)
			require.Equal(t, c.wakes, len(s.reads) == 1)
			require.False(t, s.late)
			read := make(chan error, 1)
			go func() {
				_, err := s.nc.Read(make([]byte, 1))
				read <- err
			}()
			_, err := there.Write([]byte("x"))
			require.NoError(t, err)
			require.NoError(t, <-read, "no deadline is left")
		})
	}
}

// What a lone caller finds when it looks before it writes.
func TestProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for name, c := range map[string]struct {
		cfg   Config
		sends bool
		want  error
	}{
		"in order, unread":  {Config{}, true, conn.ErrUnread},
		"in order, closed":  {Config{}, false, io.EOF},
		"by number, unread": {Config{Match: Number{Size: 2}}, true, nil},
		"by number, closed": {Config{Match: Number{Size: 2}}, false, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(conn.Target{Address: "unused:1"}, framing.Format{}, c.cfg)
			require.NoError(t, err)
			here, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer here.Close()
			there, err := l.Accept()
			require.NoError(t, err)
			s := newSharedConn(p, conn.New(here))
			require.NoError(t, s.probe())
			if c.sends {
				_, err = there.Write([]byte("x"))
				defer there.Close()
			} else {
				err = there.Close()
			}
			require.NoError(t, err)
			require.Eventually(t, func() bool { return s.nc.Check() != nil }, time.Minute, time.Millisecond)
			require.ErrorIs(t, s.probe(), c.want)
			if c.want != nil { // such a call is not sent
				call, inline, write, err := s.submit(nil, []byte("request"), dueNever, false)
				require.NoError(t, err)
				require.True(t, inline)
				s.recent = false
				_, settled, err := s.inlineCall(context.Background(), nil, call, write, nil)
				require.NoError(t, err)
				require.False(t, settled)
				require.ErrorIs(t, s.err, c.want)
				require.Zero(t, s.sent)
			}
			s.recent = true
			require.NoError(t, s.probe(), "the call before has just looked")
		})
	}
}

// One that there is already counts as dialed.
func TestConnectWithConnectionsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, _ := connected(t, Config{})
		d, err := p.connect(context.Background())
		require.NoError(t, err)
		require.Same(t, closedDial, d)
		s.suspect.Store(true)
		other, _ := still(t, Config{})
		other.suspect.Store(true)
		p.live.Store(&[]*sharedConn{s, other})
		d, err = p.connect(context.Background())
		require.NoError(t, err)
		require.Same(t, closedDial, d, "one too many already")
		p.live.Store(&[]*sharedConn{s})
		p.closed = true
		_, err = p.connect(context.Background())
		require.ErrorIs(t, err, ErrClosed)
	})
}

// A dial that Close overtakes ends, and so does the connection that it makes all the
// same.
func TestDialThatCloseOvertakes(t *testing.T) {
	for name, stubborn := range map[string]bool{"ends": false, "connects": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := memnet.Pipe()
				defer there.Close()
				p, err := New(conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
					<-ctx.Done()
					if stubborn {
						return here, nil
					}
					return nil, ctx.Err()
				}}, framing.Format{}, Config{DialTimeout: -1})
				require.NoError(t, err)
				d, err := p.connect(context.Background())
				require.NoError(t, err)
				p.mu.Lock() // before the dial has noted how to cancel it
				p.closed, p.ended = true, true
				p.mu.Unlock()
				require.NoError(t, p.Close())
				<-d.done
				if stubborn {
					require.Equal(t, Ends{Closed: 1}, p.Stat().Ends)
				} else {
					require.ErrorIs(t, d.err, context.Canceled)
					_ = here.Close()
				}
			})
		})
	}
}

// The times of calls are taken as long as hooks are told of one, and no longer.
func TestWatchedCallsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, there := connected(t, Config{CallTimeout: 16 * time.Second, StallTimeout: -1, Hooks: []any{listener{}}})
		require.Zero(t, s.watched.Load())
		p := s.p
		gone := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := p.Call(context.Background(), []byte("request"))
				gone <- err
			}()
		}
		synctest.Wait()
		require.EqualValues(t, 2, s.watched.Load())
		require.ErrorIs(t, <-gone, ErrCallTimeout)
		require.ErrorIs(t, <-gone, ErrCallTimeout)
		require.EqualValues(t, 2, s.watched.Load(), "others have their places")
		b, _ := framing.Format{}.Append(nil, []byte("late"))
		_, err := there.Write(append(b, b...))
		require.NoError(t, err)
		synctest.Wait()
		require.Zero(t, s.watched.Load())
	})
}

type listener struct{}

func (listener) AfterCall(context.Context, CallEvent) {}

// A permit that is granted when its caller gives up is given back, and the call that
// waited for it is as good as new.
func TestPermitGrantedToOneThatGivesUp(t *testing.T) {
	var calls callPool
	calls.New = makeCall
	g := permits{limit: 1, calls: &calls, closing: make(chan struct{}), idle: make(chan struct{}, 1)}
	over := make(chan struct{})
	close(over)
	gaveUp := 0
	for range 200 {
		if err := g.wait(over, nil); err == nil {
			g.release()
		} else {
			require.Equal(t, errGaveUp, err)
			gaveUp++
		}
		c := calls.get(nil)
		require.Empty(t, c.done)
		calls.put(c)
		require.Zero(t, g.taken())
		require.Zero(t, g.waiting.Load())
	}
	require.NotZero(t, gaveUp)
	require.NotEqual(t, 200, gaveUp)
}

// A call that was refused by a connection that is too old has not been moved by that:
// another one that is closed meanwhile does not cost it its reply, and where none can
// be dialed it fails.
func TestCallOfAnOutlivedConnection(t *testing.T) {
	errDown := errors.New("down")
	for name, down := range map[string]bool{"the next one is closed": false, "there is none": true} {
		t.Run(name, func(t *testing.T) {
			ends := make(chan net.Conn, 8)
			var dials atomic.Int32
			dial := pipes(ends)
			p, err := New(conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				n := dials.Add(1)
				if n > 1 && down {
					return nil, errDown
				}
				nc, err := dial(ctx)
				if n == 2 {
					return closedPipe{nc}, err
				}
				return nc, err
			}}, framing.Format{}, Config{
				DialBackoff:  conn.DialBackoff{After: -1},
				StallTimeout: time.Minute, // a busy machine is not a silent peer
			})
			require.NoError(t, err)
			defer p.Close()
			var slept atomic.Int64
			p.clock = func() stamp {
				s := now()
				s.wall = s.wall.Add(time.Duration(slept.Load()))
				return s
			}
			serve := func() {
				for there := range ends {
					go func() {
						defer there.Close()
						_, _ = io.Copy(there, there)
					}()
				}
			}
			go serve()
			defer close(ends)
			_, err = p.Call(context.Background(), []byte("request"))
			require.NoError(t, err)
			slept.Store(int64(8 * time.Hour))
			_, err = p.Call(context.Background(), []byte("request"))
			if down {
				require.ErrorIs(t, err, errDown)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// closedPipe is a connection whose peer has gone.
type closedPipe struct{ net.Conn }

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }
func (closedPipe) Read([]byte) (int, error)  { return 0, syscall.ECONNRESET }

// The table of numbers is twice as large as what is in it, not as the numbers are.
func TestTableOfNumbersStaysSmall(t *testing.T) {
	table := numbers{max: 1<<32 - 1}
	var calls []*call
	for i := range 40 {
		c := &call{}
		table.put(c, table.next())
		calls = append(calls, c)
		want := 16
		for 2*(i+1) > want {
			want *= 2
		}
		require.Len(t, table.slots, want)
	}
	for _, c := range calls {
		table.free(c)
	}
	for range 1000 {
		c := &call{}
		table.put(c, table.next())
		require.Same(t, c, table.find(c.number))
		table.free(c)
	}
	require.Len(t, table.slots, 128)
}

// After the last number comes the first again, which is 1, also where a number has all
// the bits there are.
func TestNumbersComeRound(t *testing.T) {
	few := numbers{max: 3}
	var got []uint64
	for range 7 {
		c := &call{}
		few.put(c, few.next())
		got = append(got, c.number)
		few.free(c)
	}
	require.Equal(t, []uint64{1, 2, 3, 1, 2, 3, 1}, got)
	most := numbers{max: 1<<64 - 1, last: 1<<64 - 1}
	require.EqualValues(t, 1, most.next())
}

// Nothing is written on a connection that has ended, and no goroutine begins to.
func TestWriteTurnOfAnEndedConnection(t *testing.T) {
	s, _ := still(t, Config{})
	s.err, s.writing = ErrClosed, true
	s.handWriteOn()
	require.False(t, s.writing)
	require.False(t, s.handedOn)
	require.False(t, s.writer)
	s.own.Wait()
}
