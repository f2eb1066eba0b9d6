package conn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// Everything that reads goes through one buffer, so any read can follow any
// other.
func TestEveryReadGoesOnWhereTheLastStopped(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "line\n4444peekskip++rest")
		halfClose(t, peer)

		line, err := c.ReadUntil(nil, []byte("\n"), 0)
		require.NoError(t, err)
		require.Equal(t, "line\n", string(line))

		four := make([]byte, 4)
		_, err = c.ReadFull(four)
		require.NoError(t, err)
		require.Equal(t, "4444", string(four))

		peeked, err := c.Peek(8)
		require.NoError(t, err)
		n, err := c.Discard(8)
		require.NoError(t, err)
		require.Equal(t, 8, n)
		require.Equal(t, "peekskip", string(peeked), "Discard must leave the slice alone")

		two := make([]byte, 2)
		n, err = c.Read(two)
		require.NoError(t, err)
		require.Equal(t, "++"[:n], string(two[:n]))

		rest, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "rest", string(rest))
		require.EqualValues(t, 23, c.BytesRead())

		n, err = c.Read(two)
		require.Zero(t, n)
		require.True(t, err == io.EOF, "EOF must be bare, and stay: %v", err)
		_, err = c.ReadAvailable(nil, 1, 0)
		require.True(t, err == io.EOF)
		require.True(t, c.Err() == io.EOF)
	})
}

func TestReadIsAReader(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 3<<10)
		sent := make(chan error, 1)
		go func() {
			_, err := peer.Write(content)
			peer.(interface{ CloseWrite() error }).CloseWrite()
			sent <- err
		}()
		require.NoError(t, iotest.TestReader(struct{ io.Reader }{c}, content))
		require.NoError(t, <-sent)
	})
}

func TestReadOfNothing(t *testing.T) {
	c, _ := tcpPair(t)
	n, err := c.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = c.ReadFull(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestReadFullSaysHowTheStreamEnded(t *testing.T) {
	const full = 8
	for cut := 0; cut <= full; cut++ {
		c, peer := tcpPair(t)
		send(t, peer, "12345678"[:cut])
		require.NoError(t, peer.Close())
		p := make([]byte, full)
		n, err := c.ReadFull(p)
		require.Equal(t, cut, n)
		require.Equal(t, "12345678"[:cut], string(p[:n]))
		switch cut {
		case 0:
			require.True(t, err == io.EOF)
		case full:
			require.NoError(t, err)
		default:
			require.True(t, err == io.ErrUnexpectedEOF, "cut at %d: %v", cut, err)
		}
	}
}

// Wherever the stream ends, every read gives what came before the end, and a
// bare io.EOF.
func TestEndAtEveryOffset(t *testing.T) {
	const text = "01234567\r\n"
	reads := map[string]func(c *conn.Conn) (string, error){
		"ReadUntil": func(c *conn.Conn) (string, error) {
			p, err := c.ReadUntil(nil, []byte("\r\n"), 0)
			return string(p), err
		},
		"Peek": func(c *conn.Conn) (string, error) { p, err := c.Peek(len(text)); return string(p), err },
		"Discard": func(c *conn.Conn) (string, error) {
			n, err := c.Discard(len(text))
			return text[:n], err
		},
		"ReadAvailable": func(c *conn.Conn) (string, error) {
			p, err := c.ReadAvailable(nil, 0, time.Hour)
			return string(p), err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			for _, tr := range transports {
				for cut := range len(text) {
					c, peer := tr.pair(t)
					send(t, peer, text[:cut])
					halfClose(t, peer)
					got, err := read(c)
					require.True(t, err == io.EOF, "%s cut at %d: %v", tr.name, cut, err)
					require.Equal(t, text[:cut], got)
				}
			}
		})
	}
}

// A timeout at any offset loses nothing: what came is returned or stays, and
// the read goes on.
func TestTimeoutAtEveryOffset(t *testing.T) {
	const text = "0123456\n"
	reads := map[string]func(c *conn.Conn) (string, error){
		"ReadFull": func(c *conn.Conn) (string, error) {
			p := make([]byte, len(text))
			n, err := c.ReadFull(p)
			return string(p[:n]), err
		},
		"ReadUntil": func(c *conn.Conn) (string, error) {
			p, err := c.ReadUntil(nil, []byte("6\n"), 0)
			return string(p), err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			for _, tr := range transports {
				c, peer := tr.pair(t)
				for cut := range len(text) {
					require.NoError(t, c.SetReadDeadline(time.Now().Add(3*time.Millisecond)))
					send(t, peer, text[:cut])
					got, err := read(c)
					requireTimeout(t, err)
					requireSafe(t, false, err)
					require.NoError(t, c.SetReadDeadline(time.Time{}))
					send(t, peer, text[cut:])
					rest := make([]byte, len(text)-len(got))
					_, err = c.ReadFull(rest)
					require.NoError(t, err)
					require.Equal(t, text, got+string(rest), tr.name)
				}
				require.NoError(t, c.Err(), "a timeout is not fatal")
				require.ErrorIs(t, c.Reusable(), conn.ErrUnfit)
			}
		})
	}
}

func TestPeerThatSendsOneByteAtATime(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		const text = "a line\r\nwith more behind it"
		sent := make(chan error, 1)
		go func() {
			for i := range len(text) {
				if _, err := peer.Write([]byte{text[i]}); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		line, err := c.ReadUntil([]byte("kept:"), []byte("\r\n"), 0)
		require.NoError(t, err)
		require.Equal(t, "kept:a line\r\n", string(line))
		four, err := c.Peek(4)
		require.NoError(t, err)
		require.Equal(t, "with", string(four))
		rest := make([]byte, len(text)-8)
		_, err = c.ReadFull(rest)
		require.NoError(t, err)
		require.Equal(t, "with more behind it", string(rest))
		require.NoError(t, <-sent)
	})
}

// TLS above a Conn resumes after a read timeout in the middle of a record, for
// the error says that it is temporary.
func TestTLSOnTop(t *testing.T) {
	c, peer := tcpPair(t)
	cert := testCert()
	client := tls.Client(c, &tls.Config{RootCAs: cert.pool, ServerName: "127.0.0.1"})
	server := tls.Server(peer, cert.server)
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-shaken)
	p := make([]byte, 5)
	for range 3 {
		require.NoError(t, client.SetReadDeadline(soon()))
		_, err := client.Read(p)
		requireTimeout(t, err)
		require.NoError(t, client.SetReadDeadline(time.Time{}))
		send(t, server, "hello")
		_, err = io.ReadFull(client, p)
		require.NoError(t, err)
		require.Equal(t, "hello", string(p))
	}
	require.NoError(t, conn.New(client).Check(), "the socket is found through both")
}

// A read error that comes with bytes is delivered after them.
func TestErrorThatComesWithBytes(t *testing.T) {
	broken := errors.New("line noise")
	reads := 0
	c := conn.New(&stub{read: func(p []byte) (int, error) {
		reads++
		return copy(p, "abc"), broken
	}})
	for _, size := range []int{3, 3, 8 << 10} {
		n, err := c.Read(make([]byte, size))
		if reads == 1 && n == 3 {
			require.NoError(t, err)
			continue
		}
		require.Zero(t, n)
		require.ErrorIs(t, err, broken)
	}
	require.Equal(t, 1, reads, "a permanent error is not asked for again")
	require.ErrorIs(t, c.Err(), broken)
}

func TestReadThatBringsNothing(t *testing.T) {
	c := conn.New(&stub{read: func([]byte) (int, error) { return 0, nil }})
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// io.Reader lets a read bring nothing now and then; the stream goes on.
func TestReadThatBringsNothingAtFirst(t *testing.T) {
	reads := 0
	c := conn.New(&stub{read: func(p []byte) (int, error) {
		if reads++; reads%3 != 0 {
			return 0, nil
		}
		return copy(p, "x"), nil
	}})
	for _, size := range []int{1, 8 << 10} {
		n, err := c.Read(make([]byte, size))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.NoError(t, c.Reusable())
}

func TestLargeReadTakesTheDirectWay(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		want := strings.Repeat("large ", 50_000)
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(peer, want)
			sent <- err
		}()
		first, err := c.Peek(3) // leaves the buffer in use
		require.NoError(t, err)
		require.Equal(t, "lar", string(first))
		got := make([]byte, len(want))
		n, err := c.ReadFull(got)
		require.NoError(t, err)
		require.Equal(t, len(want), n)
		require.True(t, want == string(got))
		require.NoError(t, <-sent)
		require.Zero(t, c.Buffered())
	})
}

// crypto/tls does not resume a handshake that a timeout cut, so the connection
// is lost with it, and Err says so to those who would read on.
func TestTimeoutInTheHandshakeIsFatal(t *testing.T) {
	below, _ := tcpPair(t) // its peer is silent
	c := conn.New(tls.Client(below.NetConn(), &tls.Config{ServerName: "silent"}))
	require.NoError(t, c.SetReadDeadline(soon()))
	err := readByte(c)()
	requireTimeout(t, err)
	require.Equal(t, err, c.Err())
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	require.Equal(t, err, readByte(c)())
}

func TestResetIsAnError(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	_, err := c.Read(make([]byte, 1))
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "read", op.Op)
	require.ErrorContains(t, err, peer.LocalAddr().String())
	require.Equal(t, err, c.Err())
	_, again := c.Read(make([]byte, 10_000))
	require.Equal(t, err, again)
}
