package gtcp_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// cutConn writes half of what it is given first, and then times out.
type cutConn struct {
	net.Conn
	writes int
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:len(p)/2])
	if err == nil {
		err = timeoutError{}
	}
	return n, err
}

func TestDefect01RetrySendsTheRest(t *testing.T) {
	near, far := tcpPair(t)
	c := gtcp.NewConnByNetConn(&cutConn{Conn: near})
	data := []byte("0123456789")
	require.NoError(t, c.Send(data, gtcp.Retry{Count: 1, Interval: time.Millisecond}))
	require.NoError(t, c.Close())
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, string(data), string(got))
}

func TestDefect05LengthIsNeverTruncated(t *testing.T) {
	for _, option := range []gtcp.PkgOption{
		{HeaderSize: 1, MaxDataSize: 300},
		{HeaderSize: 2, MaxDataSize: 70000},
		{HeaderSize: 3, MaxDataSize: 1 << 24},
		{HeaderSize: -1},
	} {
		c, far := peer(t)
		require.Error(t, c.SendPkg(make([]byte, 300), option))
		require.NoError(t, far.SetDeadline(time.Now().Add(hang())))
		_, err := far.Write([]byte{1, 2, 3, 4, 5})
		require.NoError(t, err)
		_, err = c.RecvPkg(option)
		require.Error(t, err)
		data, err := c.Recv(5)
		require.NoError(t, err, "the option is wrong, not the connection")
		require.Equal(t, []byte{1, 2, 3, 4, 5}, data)
		require.NoError(t, c.Close())
		sent, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Empty(t, sent)
	}
}

func TestDefect06DelimiterIsComparedByteForByte(t *testing.T) {
	for _, test := range []struct{ stream, delim []byte }{
		{[]byte("one END two end"), []byte("end")},
		{[]byte{1, 0xff, '\n', 2, 0xfe, '\n'}, []byte{0xfe, '\n'}},
	} {
		c, far := peer(t)
		_, err := far.Write(test.stream)
		require.NoError(t, err)
		got, err := c.RecvTill(test.delim)
		require.NoError(t, err)
		require.Equal(t, test.stream, got)
	}
}

func TestDefect07LengthReceivedAllocatesNothing(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte{0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = c.RecvPkgWithTimeout(50*time.Millisecond, gtcp.PkgOption{HeaderSize: 4})
	runtime.ReadMemStats(&after)
	require.Error(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<10))
}

func TestDefect08TimeoutMidPackageLosesNothing(t *testing.T) {
	for _, size := range []int{10, 60000} {
		whole := bytes.Repeat([]byte("x"), size)
		wire := append(binary.BigEndian.AppendUint16(nil, uint16(size)), whole...)
		wire = append(wire, 0, 4, 'n', 'e', 'x', 't')
		for _, cut := range []int{1, 2, 3, size / 2, size + 1} {
			c, far := peer(t)
			_, err := far.Write(wire[:cut])
			require.NoError(t, err)
			_, err = c.RecvPkgWithTimeout(20 * time.Millisecond)
			require.Error(t, err)
			_, err = far.Write(wire[cut:])
			require.NoError(t, err)
			within(t, func() {
				got, err := c.RecvPkg()
				require.NoError(t, err)
				require.True(t, bytes.Equal(whole, got))
				got, err = c.RecvPkg()
				require.NoError(t, err)
				require.Equal(t, "next", string(got))
			})
		}
	}
}

func TestDefect08OversizePackageEndsTheStream(t *testing.T) {
	c, far := peer(t)
	// A data field that looks like packages itself.
	_, err := far.Write(append([]byte{0, 200}, bytes.Repeat([]byte{0, 1, 'x'}, 100)...))
	require.NoError(t, err)
	for range 3 {
		data, err := c.RecvPkg(gtcp.PkgOption{MaxDataSize: 100})
		require.EqualError(t, err, "invalid package size 200")
		require.Empty(t, data)
	}
}

func TestDefect13LineIsReadInBulk(t *testing.T) {
	c, far := peer(t)
	line := append(bytes.Repeat([]byte("x"), 64<<10), '\n')
	allocs := testing.AllocsPerRun(5, func() {
		if _, err := far.Write(line); err != nil {
			t.Error(err)
		}
		if got, err := c.RecvLine(); err != nil || len(got) != len(line)-1 {
			t.Error(len(got), err)
		}
	})
	require.Less(t, allocs, 100.0)
}

func TestDefect13LineIsBounded(t *testing.T) {
	c, far := peer(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		chunk := make([]byte, 1<<20)
		for {
			if _, err := far.Write(chunk); err != nil {
				return
			}
		}
	}()
	within(t, func() {
		_, err := c.RecvLine()
		require.Error(t, err)
	})
	c.Close()
	<-done
}

func TestDefect16TimeoutBoundsAllThatIsAvailable(t *testing.T) {
	c, far := peer(t)
	c.SetBufferWaitRecv(hang())
	done := make(chan struct{})
	chunk := make([]byte, 1<<10)
	_, err := far.Write(chunk) // so that something is there, however late the others come
	require.NoError(t, err)
	go func() {
		defer close(done)
		for {
			if _, err := far.Write(chunk); err != nil {
				return
			}
		}
	}()
	within(t, func() {
		data, err := c.RecvWithTimeout(-1, 50*time.Millisecond)
		require.NoError(t, err, "programs that poll drop what comes with an error")
		require.NotEmpty(t, data)
	})
	c.Close()
	<-done
}

// closingConn is closed by somebody else after its first read.
type closingConn struct {
	net.Conn
	reads int
}

func (c *closingConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads > 1 {
		return 0, net.ErrClosed
	}
	return copy(p, bytes.Repeat([]byte("x"), 200)), nil
}

func (c *closingConn) SetReadDeadline(time.Time) error {
	if c.reads > 0 {
		return net.ErrClosed
	}
	return nil
}

func TestDefect16CloseKeepsWhatWasRead(t *testing.T) {
	near, _ := tcpPair(t)
	c := gtcp.NewConnByNetConn(&closingConn{Conn: near})
	data, err := c.RecvWithTimeout(-1, hang())
	require.ErrorIs(t, err, net.ErrClosed)
	require.Len(t, data, 200)
}

func TestDefect17RetryArmsTheDeadlineAgain(t *testing.T) {
	c, far := peer(t)
	late := time.AfterFunc(100*time.Millisecond, func() { _, _ = far.Write([]byte("hello")) })
	defer late.Stop()
	data, err := c.RecvWithTimeout(5, 20*time.Millisecond, gtcp.Retry{Count: 1000, Interval: time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, "hello", string(data))
}

func TestDefect17PermanentErrorIsFinal(t *testing.T) {
	for _, r := range []gtcp.Retry{
		{Count: 1, Interval: time.Hour},
		{Count: -1, Interval: time.Millisecond},
	} {
		c, _ := peer(t)
		require.NoError(t, c.Close())
		within(t, func() {
			require.ErrorIs(t, c.Send([]byte("x"), r), net.ErrClosed)
			_, err := c.Recv(1, r)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

func TestDefect17CallersRetryIsNotChanged(t *testing.T) {
	c, _ := peer(t)
	retry := []gtcp.Retry{{Count: 2, Interval: time.Millisecond}}
	_, err := c.RecvWithTimeout(1, time.Millisecond, retry...)
	require.Error(t, err)
	require.Equal(t, []gtcp.Retry{{Count: 2, Interval: time.Millisecond}}, retry)
}

func TestDefect24ReadGoesThroughTheBuffer(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("line\nrest"))
	require.NoError(t, err)
	line, err := c.RecvLine()
	require.NoError(t, err)
	require.Equal(t, "line", string(line))
	within(t, func() {
		rest := make([]byte, 4)
		_, err = io.ReadFull(c, rest)
		require.NoError(t, err)
		require.Equal(t, "rest", string(rest))
	})
}
