package conn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// scripted is a transport whose reads and writes return what is on the list.
type scripted struct {
	net.Conn
	reads  []step
	writes []step
}

type step struct {
	data string
	err  error
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.reads) == 0 {
		return 0, io.EOF
	}
	next := s.reads[0]
	s.reads = s.reads[1:]
	return copy(p, next.data), next.err
}

func (s *scripted) Write(p []byte) (int, error) {
	next := s.writes[0]
	s.writes = s.writes[1:]
	return len(next.data), next.err
}

// A timeout that comes with bytes is over when they have been read.
func TestTimeoutThatComesWithBytes(t *testing.T) {
	p := make([]byte, 10)
	c := conn.New(&scripted{reads: []step{{"ab", os.ErrDeadlineExceeded}, {"cd", nil}}})
	for _, want := range []string{"ab", "cd"} {
		n, err := c.Read(p)
		require.NoError(t, err)
		require.Equal(t, want, string(p[:n]))
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Reusable())
}

// Check tells what has broken the connection.
func TestCheckAfterAWriteThatFailed(t *testing.T) {
	c := conn.New(&scripted{writes: []step{{"a", syscall.EPIPE}}})
	_, err := c.Write([]byte("abc"))
	require.ErrorIs(t, err, syscall.EPIPE)
	require.ErrorIs(t, c.Check(), syscall.EPIPE)
}

// Bytes before the handshake are unread: to shake hands could block.
func TestCheckBeforeTheHandshake(t *testing.T) {
	plain, peer := tcpPair(t)
	c := conn.New(tls.Client(plain.NetConn(), &tls.Config{InsecureSkipVerify: true}))
	require.NoError(t, c.Check())
	send(t, peer, "x")
	eventually(t, conn.ErrUnread, c.Check)
}

// What Peek returned before a Close stays as it was, whoever reads meanwhile.
func TestPeekedBytesOutliveClose(t *testing.T) {
	for range 50 {
		c, peer := memoryPair(t)
		send(t, peer, "mine")
		peeked, err := c.Peek(4)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		other, peer := memoryPair(t)
		send(t, peer, "yours")
		_, err = other.Peek(5)
		require.NoError(t, err)
		require.Equal(t, "mine", string(peeked))
	}
}

// An idle connection holds no read buffer, whatever was done with it last.
func TestConnectionAtRestHoldsNoBuffer(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector adds to each allocation")
	}
	for name, use := range map[string]func(t *testing.T, c *conn.Conn, to *conn.Conn){
		"after a read": func(t *testing.T, c, _ *conn.Conn) {
			_, err := c.ReadFull(make([]byte, 100))
			require.NoError(t, err)
		},
		"after Peek, Discard and a read": func(t *testing.T, c, _ *conn.Conn) {
			_, err := c.Peek(50)
			require.NoError(t, err)
			_, err = c.Discard(50)
			require.NoError(t, err)
			_, err = c.ReadFull(make([]byte, 50))
			require.NoError(t, err)
		},
		"handed on after Peek and Discard": func(t *testing.T, c, to *conn.Conn) {
			_, err := c.Peek(100)
			require.NoError(t, err)
			_, err = c.Discard(100)
			require.NoError(t, err)
			require.NoError(t, c.Handoff(to))
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 300
			pairs, next, peers := [n]*conn.Conn{}, [n]conn.Conn{}, [n]*net.TCPConn{}
			for i := range pairs {
				pairs[i], peers[i] = tcpPair(t)
				send(t, peers[i], string(make([]byte, 100)))
				eventually(t, conn.ErrUnread, pairs[i].Check)
			}
			before := heap()
			for i, c := range pairs {
				use(t, c, &next[i])
			}
			require.Less(t, (heap()-before)/n, int64(2000)) // a buffer has 4 KiB
			runtime.KeepAlive(pairs)
		})
	}
}

// heap is how much is allocated and in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first leaves what sync.Pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// While an Ask waits for its reply, whoever would need the connection idle is told
// at once that it is not.
func TestAskInProgressIsBusy(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		asked := make(chan error, 1)
		go func() {
			_, err := c.Ask([]byte("request"))
			asked <- err
		}()
		_, err := io.ReadFull(peer, make([]byte, 7))
		require.NoError(t, err)
		eventually(t, conn.ErrBusy, c.Check) // it may be between its write and its wait
		var to conn.Conn
		require.ErrorIs(t, c.Handoff(&to), conn.ErrBusy)
		_, err = c.Ask([]byte("another"))
		require.ErrorIs(t, err, conn.ErrBusy)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-asked, net.ErrClosed)
	})
}

// An Ask that is cut short says why.
func TestAskThatIsCutShort(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("no longer")
		err := c.Do(ctx, func() error {
			cancel(why)
			for c.Err() == nil { // until the end of ctx has come through
				if _, err := c.Ask([]byte("x")); err != nil {
					return err
				}
			}
			return nil
		})
		require.Error(t, err)
		require.ErrorIs(t, err, context.Canceled)
	})
	c, _ := tcpPair(t)
	require.NoError(t, c.NetConn().Close()) // behind its back
	_, err := c.Ask([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	requireSafe(t, true, err)
}

// Bytes of a request that were written before an error are no longer safe to send
// again, and the connection is broken.
func TestAskWhoseWriteIsCut(t *testing.T) {
	broken := errors.New("broken")
	c := conn.New(&cutWrite{scripted{reads: []step{{"", os.ErrDeadlineExceeded}, {"", os.ErrDeadlineExceeded}}, writes: []step{{"re", broken}}}})
	n, err := c.Ask([]byte("request"))
	require.Equal(t, 2, n)
	require.ErrorIs(t, err, broken)
	requireSafe(t, false, err)
	require.ErrorIs(t, c.Err(), broken)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, broken)
}

// A timeout in the middle of a request breaks the connection, since nobody else knows
// that the rest is missing. One before it breaks nothing.
func TestAskWhoseWriteTimesOut(t *testing.T) {
	for _, written := range []string{"", "re"} {
		c := conn.New(&cutWrite{scripted{
			reads:  []step{{"", os.ErrDeadlineExceeded}, {"", os.ErrDeadlineExceeded}},
			writes: []step{{written, os.ErrDeadlineExceeded}, {"x", nil}},
		}})
		n, err := c.Ask([]byte("request"))
		require.Equal(t, len(written), n)
		requireTimeout(t, err)
		requireSafe(t, written == "", err)
		require.Equal(t, written == "", c.Err() == nil)
		_, err = c.Write([]byte("x"))
		require.Equal(t, written == "", err == nil)
	}
}

// A socket that takes no more bytes says so to Ask.
func TestAskAfterTheSocketsWriteEnd(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.NetConn().(*net.TCPConn).CloseWrite()) // behind its back
	n, err := c.Ask([]byte("x"))
	require.Zero(t, n)
	require.Error(t, err)
	requireSafe(t, true, err)
	require.Error(t, c.Err())
	_, err = c.Write([]byte("x"))
	require.Error(t, err)
}

// An error says how many bytes of the operation were written, if any.
func TestErrorTextCountsWrittenBytes(t *testing.T) {
	for written, want := range map[string]string{
		"":            "conn: write: broken pipe",
		"a":           "conn: write: broken pipe (after 1 bytes written)",
		"hello world": "conn: write: broken pipe (after 11 bytes written)",
	} {
		c := conn.New(&scripted{writes: []step{{written, errors.New("broken pipe")}}})
		_, err := c.Write(make([]byte, 20))
		require.EqualError(t, err, want)
	}
}

// Do takes an error for the context's only if the context has ended; and an error
// that calls itself unsafe is returned as it is.
func TestDoReturnsWhatItsFunctionMeant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := memoryPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := c.Do(ctx, func() error { return os.ErrDeadlineExceeded })
		require.Same(t, os.ErrDeadlineExceeded, err, "the context has no deadline")

		limited, giveUp := context.WithTimeout(t.Context(), time.Second)
		err = c.Do(limited, func() error {
			giveUp()
			_, err := c.Read(make([]byte, 1))
			time.Sleep(2 * time.Second) // its deadline passes too
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
	})
	c, peer := memoryPair(t)
	unsafe := errors.New("it was done")
	require.Same(t, unsafe, c.Do(t.Context(), func() error {
		send(t, c, "x")
		return unsafe
	}))
	_, err := io.ReadFull(peer, make([]byte, 1))
	require.NoError(t, err)
}

// ReadUntil finds a delimiter wherever it is in what has arrived, and no further than
// its bound.
func TestReadUntilBounds(t *testing.T) {
	for name, test := range map[string]struct {
		arrive  []string
		delim   string
		max     int
		want    string
		tooLong bool
	}{
		"delimiter first":                {[]string{"\nrest"}, "\n", 10, "\n", false},
		"delimiter alone, bound of one":  {[]string{"\nrest"}, "\n", 1, "\n", false},
		"bound of one":                   {[]string{"a\n"}, "\n", 1, "a", true},
		"exactly the bound":              {[]string{"abc\nrest"}, "\n", 4, "abc\n", false},
		"one more than the bound":        {[]string{"abcd\n"}, "\n", 4, "abcd", true},
		"second half of a cut delimiter": {[]string{"abc-", "-rest"}, "--", 5, "abc--", false},
		"delimiter first in the second":  {[]string{"abc", "\nrest"}, "\n", 10, "abc\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			var reads []step
			for _, piece := range test.arrive {
				reads = append(reads, step{piece, nil})
			}
			got, err := conn.New(&scripted{reads: reads}).ReadUntil([]byte("kept:"), []byte(test.delim), test.max)
			require.Equal(t, "kept:"+test.want, string(got))
			if !test.tooLong {
				require.NoError(t, err)
				return
			}
			var e *conn.LineTooLongError
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.max, e.Limit)
		})
	}
}

// A handle that has ended reads nothing and has nothing, whatever is buffered for
// the next one.
func TestEndedHandleReadsNothing(t *testing.T) {
	c, peer := memoryPair(t)
	var next conn.Conn
	require.NoError(t, c.Handoff(&next))
	send(t, peer, "xy")
	_, err := next.Peek(2)
	require.NoError(t, err)
	require.Zero(t, c.Buffered())
	require.Equal(t, 2, next.Buffered())
	for name, read := range map[string]func() (int, error){
		"Read":     func() (int, error) { return c.Read(make([]byte, 1)) },
		"ReadFull": func() (int, error) { return c.ReadFull(make([]byte, 1)) },
		"Discard":  func() (int, error) { return c.Discard(1) },
	} {
		n, err := read()
		require.Zero(t, n, name)
		require.ErrorIs(t, err, net.ErrClosed, name)
	}
	require.ErrorIs(t, c.Reusable(), net.ErrClosed)
	n, err := next.Discard(-1)
	require.Zero(t, n)
	require.ErrorIs(t, err, conn.ErrNegativeCount)
}

// cutWrite has deadlines, at which its reads end.
type cutWrite struct{ scripted }

func (*cutWrite) SetReadDeadline(time.Time) error { return nil }
