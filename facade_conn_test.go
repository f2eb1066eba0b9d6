package gtcp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
)

func TestRecvWaitsForTheLength(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("hello world"))
	require.NoError(t, err)
	for _, want := range []string{"hello", " ", "world"} {
		got, err := c.Recv(len(want))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestRecvAtTheEndOfTheStream(t *testing.T) {
	for name, recv := range map[string]func(c *gtcp.Conn) ([]byte, error){
		"length":  func(c *gtcp.Conn) ([]byte, error) { return c.Recv(100) },
		"line":    func(c *gtcp.Conn) ([]byte, error) { return c.RecvLine() },
		"till":    func(c *gtcp.Conn) ([]byte, error) { return c.RecvTill([]byte("never")) },
		"timeout": func(c *gtcp.Conn) ([]byte, error) { return c.RecvWithTimeout(100, hang()) },
	} {
		t.Run(name, func(t *testing.T) {
			c, far := peer(t)
			_, err := far.Write([]byte("partial"))
			require.NoError(t, err)
			require.NoError(t, far.Close())
			got, err := recv(c)
			require.Equal(t, io.EOF, err, "the bare io.EOF")
			require.Equal(t, "partial", string(got))
			for _, length := range []int{1, 0, -1} {
				got, err = c.Recv(length)
				require.Equal(t, io.EOF, err)
				require.NotNil(t, got)
				require.Empty(t, got)
			}
		})
	}
}

func TestRecvAtATimeout(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("partial"))
	require.NoError(t, err)
	got, err := c.RecvWithTimeout(100, 250*time.Millisecond)
	require.Equal(t, "partial", string(got))
	timeout, ok := err.(net.Error)
	require.True(t, ok, "a timeout is an unwrapped net.Error")
	require.True(t, timeout.Timeout())
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	_, err = far.Write([]byte("more"))
	require.NoError(t, err)
	got, err = c.Recv(4)
	require.NoError(t, err, "the connection stays usable")
	require.Equal(t, "more", string(got))
}

func TestRecvZeroReadsOnce(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write(bytes.Repeat([]byte("x"), 200))
	require.NoError(t, err)
	got, err := c.Recv(0)
	require.NoError(t, err)
	require.Len(t, got, 128)
	got, err = c.Recv(0)
	require.NoError(t, err)
	require.Len(t, got, 72)
	_, err = c.RecvWithTimeout(0, 10*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it waits when nothing is there")
}

func TestRecvAvailable(t *testing.T) {
	t.Run("a short first read is all", func(t *testing.T) {
		c, far := peer(t)
		c.SetBufferWaitRecv(time.Hour)
		_, err := far.Write(bytes.Repeat([]byte("x"), 127))
		require.NoError(t, err)
		within(t, func() {
			got, err := c.Recv(-1)
			require.NoError(t, err)
			require.Len(t, got, 127)
		})
	})
	t.Run("a long one is read on", func(t *testing.T) {
		c, far := peer(t)
		c.SetBufferWaitRecv(100 * time.Millisecond)
		stream := bytes.Repeat([]byte("x"), 1<<20)
		go func() { _, _ = far.Write(stream) }()
		got, err := c.Recv(-1)
		require.NoError(t, err)
		require.Len(t, got, len(stream))
	})
	t.Run("the end of the stream comes with the data", func(t *testing.T) {
		c, far := peer(t)
		c.SetBufferWaitRecv(hang())
		_, err := far.Write(bytes.Repeat([]byte("x"), 300))
		require.NoError(t, err)
		require.NoError(t, far.Close())
		got, err := c.Recv(-1)
		require.Equal(t, io.EOF, err)
		require.Len(t, got, 300)
	})
	t.Run("results are the caller's", func(t *testing.T) {
		c, far := peer(t)
		_, err := far.Write([]byte("first"))
		require.NoError(t, err)
		first, err := c.Recv(-1)
		require.NoError(t, err)
		_, err = far.Write([]byte("other"))
		require.NoError(t, err)
		_, err = c.Recv(-1)
		require.NoError(t, err)
		require.Equal(t, "first", string(first))
	})
}

func TestRecvLineKeepsCarriageReturn(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("one\r\n\ntwo"))
	require.NoError(t, err)
	require.NoError(t, far.Close())
	for _, want := range []string{"one\r", ""} {
		got, err := c.RecvLine()
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	got, err := c.RecvLine()
	require.Equal(t, io.EOF, err)
	require.Equal(t, "two", string(got))
}

func TestRecvTill(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("a--b-->rest"))
	require.NoError(t, err)
	got, err := c.RecvTill([]byte("-->"))
	require.NoError(t, err)
	require.Equal(t, "a--b-->", string(got))
	_, err = c.RecvTill(nil)
	require.ErrorContains(t, err, "empty delimiter")
	got, err = c.Recv(4)
	require.NoError(t, err)
	require.Equal(t, "rest", string(got))
}

// stutter times out between any two bytes.
type stutter struct {
	net.Conn
	data []byte
	went bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.went = !s.went; !s.went {
		return 0, timeoutError{}
	}
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	p[0], s.data = s.data[0], s.data[1:]
	return 1, nil
}

func TestRetryGoesOnWhereItWasCut(t *testing.T) {
	retry := gtcp.Retry{Count: 1000, Interval: -1}
	open := func(data string) *gtcp.Conn {
		near, _ := tcpPair(t)
		return gtcp.NewConnByNetConn(&stutter{Conn: near, data: []byte(data)})
	}
	got, err := open("hello world").Recv(5, retry)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	got, err = open("line\nrest").RecvLine(retry)
	require.NoError(t, err)
	require.Equal(t, "line", string(got))

	c := open("ababa+abac+rest")
	got, err = c.RecvTill([]byte("abac+"), retry)
	require.NoError(t, err)
	require.Equal(t, "ababa+abac+", string(got), "a delimiter is found across the cuts")
	got, err = c.Recv(4, retry)
	require.NoError(t, err)
	require.Equal(t, "rest", string(got))

	got, err = open("\x00\x05hello").RecvPkg(gtcp.PkgOption{Retry: retry})
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	got, err = open("hel").Recv(5, gtcp.Retry{Count: 1, Interval: -1})
	require.True(t, errors.Is(err, timeoutError{}))
	require.Equal(t, "he", string(got), "when attempts run out it returns what came")
}

func TestRetryWaits100msByDefault(t *testing.T) {
	near, _ := tcpPair(t)
	c := gtcp.NewConnByNetConn(&stutter{Conn: near, data: []byte("ab")})
	start := time.Now()
	_, err := c.Recv(2, gtcp.Retry{Count: 1})
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond)
}

func TestSendErrors(t *testing.T) {
	c, _ := peer(t)
	require.NoError(t, c.SetDeadlineSend(time.Unix(1, 0)))
	err := c.Send([]byte("hello"))
	require.ErrorContains(t, err, "Write data failed: ")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())

	require.NoError(t, c.SetDeadlineSend(time.Time{}))
	require.NoError(t, c.Send([]byte("hello")), "nothing had been written")

	require.NoError(t, c.Close())
	err = c.Send([]byte("hello"))
	require.ErrorContains(t, err, "Write data failed: ")
	require.ErrorIs(t, err, net.ErrClosed)
	require.False(t, err.(net.Error).Timeout())
	require.Error(t, c.SendPkg(nil))
	for _, set := range []func(time.Time) error{c.SetDeadline, c.SetDeadlineRecv, c.SetDeadlineSend} {
		require.ErrorIs(t, set(time.Now()), net.ErrClosed)
	}
	_, err = c.RecvWithTimeout(1, time.Second)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, c.SendWithTimeout([]byte("x"), time.Second), net.ErrClosed)
}

func TestMessageGivenUpHalfSentEndsSending(t *testing.T) {
	near, far := tcpPair(t)
	c := gtcp.NewConnByNetConn(&cutConn{Conn: near})
	require.Error(t, c.SendPkg([]byte("hello")))
	for range 2 {
		require.ErrorContains(t, c.Send([]byte("x")), "half sent")
		require.ErrorContains(t, c.SendPkg([]byte("x")), "half sent")
	}
	require.NoError(t, c.Close())
	sent, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "\x00\x05h", string(sent))
}

func TestLargePackageResumes(t *testing.T) {
	near, far := tcpPair(t)
	c := gtcp.NewConnByNetConn(&cutConn{Conn: near})
	data := bytes.Repeat([]byte("0123456789"), 5000)
	go func() {
		defer c.Close()
		if err := c.SendPkg(data, gtcp.PkgOption{Retry: gtcp.Retry{Count: 1, Interval: -1}}); err != nil {
			t.Error(err)
		}
	}()
	got, err := gtcp.NewConnByNetConn(far).RecvPkg()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

func TestTimeoutBoundsTheSend(t *testing.T) {
	c, _ := peer(t)
	within(t, func() {
		err := c.SendWithTimeout(make([]byte, 64<<20), 20*time.Millisecond)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// The earlier of the caller's own deadline and the call's timeout counts.
func TestOwnDeadlineCountsDuringACallWithTimeout(t *testing.T) {
	c, _ := peer(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Millisecond)))
	within(t, func() {
		_, err := c.RecvWithTimeout(1, time.Hour)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestDeprecatedNames(t *testing.T) {
	c, _ := peer(t)
	c.SetRecvBufferWait(time.Millisecond)
	require.NoError(t, c.SetRecvDeadline(time.Unix(1, 0)))
	_, err := c.Recv(1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetSendDeadline(time.Unix(1, 0)))
	require.ErrorIs(t, c.Send([]byte("x")), os.ErrDeadlineExceeded)

	c, far := peer(t)
	c.SetReceiveBufferWait(time.Millisecond)
	_, err = far.Write([]byte("a;"))
	require.NoError(t, err)
	got, err := c.RecvTil([]byte(";"))
	require.NoError(t, err)
	require.Equal(t, "a;", string(got))
	require.NoError(t, c.SetReceiveDeadline(time.Unix(1, 0)))
	_, err = c.Recv(1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// Programs written for upstream look into the *net.OpError of a receive.
func TestErrorsAreOpErrors(t *testing.T) {
	calls := map[string]func(c *gtcp.Conn) error{
		"Recv":     func(c *gtcp.Conn) error { _, err := c.Recv(1); return err },
		"Recv(0)":  func(c *gtcp.Conn) error { _, err := c.Recv(0); return err },
		"Recv(-1)": func(c *gtcp.Conn) error { _, err := c.Recv(-1); return err },
		"RecvWithTimeout": func(c *gtcp.Conn) error {
			_, err := c.RecvWithTimeout(1, hang())
			return err
		},
		"RecvLine": func(c *gtcp.Conn) error { _, err := c.RecvLine(); return err },
		"RecvTill": func(c *gtcp.Conn) error { _, err := c.RecvTill([]byte("xy")); return err },
		"RecvPkg":  func(c *gtcp.Conn) error { _, err := c.RecvPkg(); return err },
		"RecvPkgWithTimeout": func(c *gtcp.Conn) error {
			_, err := c.RecvPkgWithTimeout(hang())
			return err
		},
		"Read":  func(c *gtcp.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"Write": func(c *gtcp.Conn) error { _, err := c.Write(make([]byte, 64<<20)); return err },
		"Send":  func(c *gtcp.Conn) error { return c.Send(make([]byte, 64<<20)) },
	}
	ends := map[string]struct {
		end  func(c *gtcp.Conn, far *net.TCPConn) error
		want error
	}{
		"after Close":      {func(c *gtcp.Conn, _ *net.TCPConn) error { return c.Close() }, net.ErrClosed},
		"after a deadline": {func(c *gtcp.Conn, _ *net.TCPConn) error { return c.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"after a reset":    {func(_ *gtcp.Conn, far *net.TCPConn) error { reset(far); return nil }, nil},
	}
	for name, call := range calls {
		for how, e := range ends {
			t.Run(name+" "+how, func(t *testing.T) {
				c, far := peer(t)
				local, remote := c.LocalAddr(), c.RemoteAddr()
				require.NoError(t, e.end(c, far))
				err := call(c)
				op, ok := err.(*net.OpError)
				if name == "Send" {
					ok = errors.As(err, &op)
					require.ErrorContains(t, err, "Write data failed: ")
				}
				require.True(t, ok, "%T %v", err, err)
				require.Equal(t, map[bool]string{true: "write", false: "read"}[name == "Write" || name == "Send"], op.Op)
				require.Equal(t, local, op.Source)
				require.Equal(t, remote, op.Addr)
				require.Equal(t, "tcp", op.Net)
				require.ErrorContains(t, err, op.Op+" tcp "+local.String()+"->"+remote.String()+": ")
				var below *conn.Error
				require.ErrorAs(t, err, &below)
				require.Equal(t, below.Timeout(), op.Timeout())
				require.Equal(t, below.Temporary(), op.Temporary())
				if e.want != nil {
					require.ErrorIs(t, err, e.want)
				}
			})
		}
	}
}

// A mock has the methods its test needs, and the others panic.
type mock struct {
	net.Conn
	in io.Reader
}

func (m mock) Read(p []byte) (int, error)    { return m.in.Read(p) }
func (mock) Write(p []byte) (int, error)     { return 0, io.ErrClosedPipe }
func (mock) Close() error                    { return nil }
func (mock) SetReadDeadline(time.Time) error { return nil }

func TestConnOfAMock(t *testing.T) {
	c := gtcp.NewConnByNetConn(mock{in: bytes.NewReader([]byte("line\n"))})
	line, err := c.RecvLine()
	require.NoError(t, err)
	require.Equal(t, "line", string(line))
	require.ErrorContains(t, c.Send([]byte("x")), "Write data failed: write tcp: ")
	_, err = c.Recv(1)
	require.Equal(t, io.EOF, err)
	require.NoError(t, c.Close())
	_, err = c.Recv(1)
	require.EqualError(t, err, "read tcp: use of closed network connection")
}

func TestConnOfNothingIsClosed(t *testing.T) {
	for name, c := range map[string]*gtcp.Conn{
		"nil net.Conn":     gtcp.NewConnByNetConn(nil),
		"nil TCPConn":      gtcp.NewConnByNetConn((*net.TCPConn)(nil)),
		"nil Conn":         gtcp.NewConnByNetConn((*gtcp.Conn)(nil)),
		"nil PoolConn":     gtcp.NewConnByNetConn((*gtcp.PoolConn)(nil)),
		"PoolConn of none": gtcp.NewConnByNetConn(&gtcp.PoolConn{}),
		"zero":             {},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, c.Send([]byte("x")), net.ErrClosed)
			require.ErrorIs(t, c.SendPkg([]byte("x")), net.ErrClosed)
			_, err := c.Recv(1)
			require.ErrorIs(t, err, net.ErrClosed)
			_, err = c.RecvPkg()
			require.ErrorIs(t, err, net.ErrClosed)
			_, err = c.RecvLine()
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, c.SetDeadline(time.Now()), net.ErrClosed)
			c.SetBufferWaitRecv(time.Second)
			require.Nil(t, c.NetConn())
		})
	}
}

func TestNetConnHasTheSocket(t *testing.T) {
	c, _ := peer(t)
	tcp, ok := c.NetConn().(*net.TCPConn)
	require.True(t, ok)
	require.NoError(t, tcp.SetNoDelay(false))
	require.Equal(t, tcp.LocalAddr(), c.LocalAddr())
	require.Equal(t, tcp.RemoteAddr(), c.RemoteAddr())
}

func TestConnOfConnSharesTheBuffer(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("line\nrest"))
	require.NoError(t, err)
	within(t, func() {
		line, err := gtcp.NewConnByNetConn(c).RecvLine()
		require.NoError(t, err)
		require.Equal(t, "line", string(line))
		rest, err := c.Recv(4)
		require.NoError(t, err)
		require.Equal(t, "rest", string(rest))
	})
	pooled := checkOut(t, rawServer(t, echo))
	again := gtcp.NewConnByNetConn(pooled)
	require.NoError(t, pooled.Close())
	require.ErrorIs(t, again.Send([]byte("stale")), net.ErrClosed)
}
