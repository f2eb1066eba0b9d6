package framing_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// connPair is both ends of a connection over loopback.
func connPair(t *testing.T) (*conn.Conn, *conn.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	left, right := conn.New(a), conn.New(b)
	t.Cleanup(func() { left.Close(); right.Close() })
	return left, right
}

// Frames of all sizes on a real connection, larger than its buffer too, by
// every method, while the peer writes them.
func TestOverConn(t *testing.T) {
	f := framing.Format{HeaderSize: 4}
	sizes := []int{0, 1, 64, 4094, 4096, 16 << 10, 65532, 65533, 300_000, 5}
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			left, right := connPair(t)
			require.NoError(t, left.SetDeadline(time.Now().Add(10*time.Second)))
			require.NoError(t, right.SetDeadline(time.Now().Add(10*time.Second)))
			written := make(chan error, 1)
			go func() {
				w := framing.NewWriter(left, f)
				for _, n := range sizes {
					if err := w.WriteFrame(fill(n)); err != nil {
						written <- err
						return
					}
				}
				err := w.Flush()
				if err == nil {
					err = left.CloseWrite()
				}
				written <- err
			}()
			r := framing.NewReader(right, f)
			r.Exclusive = m.exclusive
			for _, n := range sizes {
				got, err := m.read(r)
				require.NoError(t, err)
				require.True(t, bytes.Equal(fill(n), got), "%d bytes", n)
			}
			_, err := m.read(r)
			require.Equal(t, io.EOF, err)
			require.NoError(t, <-written)
		})
	}
}

// Polling with a short deadline: each timeout leaves the connection unfit for
// a pool and the frame whole.
func TestTimeoutOverConn(t *testing.T) {
	for _, m := range methods {
		if m.stream() {
			continue
		}
		left, right := connPair(t)
		wire := encode(t, framing.Format{HeaderSize: 4}, fill(100_000))
		r := framing.NewReader(right, framing.Format{HeaderSize: 4})
		r.Exclusive = m.exclusive
		for at := 0; at < len(wire); at += 20_001 {
			require.NoError(t, right.SetReadDeadline(time.Now().Add(time.Millisecond)))
			_, err := m.read(r)
			var ne net.Error
			require.ErrorAs(t, err, &ne)
			require.True(t, ne.Timeout())
			require.Error(t, right.Reusable())
			_, err = left.Write(wire[at:min(len(wire), at+20_001)])
			require.NoError(t, err)
		}
		require.NoError(t, right.SetReadDeadline(time.Now().Add(10*time.Second)))
		got, err := m.read(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(fill(100_000), got))
	}
}

// A connection that is at the end of a frame goes back to its pool; one that
// is inside of one does not.
func TestReusableOverConn(t *testing.T) {
	f := framing.Format{HeaderSize: 4}
	for _, size := range []int{10, 200_000} {
		left, right := connPair(t)
		sent := make(chan error, 1)
		go func() { _, err := left.Write(encode(t, f, fill(size))); sent <- err }()
		r := framing.NewReader(right, f)
		_, err := r.Next()
		require.NoError(t, err)
		require.NoError(t, <-sent)
		require.NoError(t, right.Reusable())

		go func() { _, err := left.Write(encode(t, f, fill(size))); sent <- err }()
		body, _, err := r.Stream()
		require.NoError(t, err)
		require.NoError(t, <-sent)
		_, err = io.ReadFull(body, make([]byte, size-1))
		require.NoError(t, err)
		require.Error(t, right.Reusable(), "one byte of the frame is unread")
		_, err = io.ReadFull(body, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, right.Reusable())
	}
}

// Close by another goroutine ends every wait.
func TestCloseWhileReading(t *testing.T) {
	for _, head := range [][]byte{nil, {0}, {0, 100, 'x'}} {
		for _, m := range methods {
			left, right := connPair(t)
			_, err := left.Write(append([]byte{0, 0}, head...))
			require.NoError(t, err)
			r := framing.NewReader(right, framing.Format{})
			r.Exclusive = m.exclusive
			_, err = m.read(r)
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { _, err := m.read(r); ended <- err }()
			require.NoError(t, right.Close())
			require.ErrorIs(t, <-ended, net.ErrClosed, "%s with %d bytes", m.name, len(head))
		}
	}
}
