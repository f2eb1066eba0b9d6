package conn_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// A context that ends between two writes leaves the second one undone, and safe
// by itself; the Do that holds both has sent bytes.
func TestDoEndedByItsContextAfterBytesHaveLeft(t *testing.T) {
	for _, ends := range []string{"canceled", "deadline"} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := memoryPair(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var second error
			err := c.Do(ctx, func() error {
				if _, err := c.Write([]byte("first")); err != nil {
					return err
				}
				if ends == "canceled" {
					cancel()
				}
				time.Sleep(2 * time.Second)
				_, second = c.Write([]byte("second"))
				return second
			})
			require.ErrorIs(t, second, os.ErrDeadlineExceeded)
			requireSafe(t, true, second)
			require.ErrorIs(t, err, ctx.Err())
			requireSafe(t, false, err)

			// The same with nothing sent is safe.
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err = c.Do(ctx, func() error {
				time.Sleep(2 * time.Second)
				_, err := c.Write([]byte("second"))
				return err
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requireSafe(t, true, err)
		})
	}
}

// A line that was cut leaves the connection at a place that nobody else knows.
func TestReusableAfterALineThatWasCut(t *testing.T) {
	until := func(c *conn.Conn, max int) error {
		_, err := c.ReadUntil(nil, []byte("\n"), max)
		return err
	}
	tests := []struct {
		name string
		cut  func(t *testing.T, c *conn.Conn, peer net.Conn)
	}{
		{"by its bound", func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "abc")
			var long *conn.LineTooLongError
			require.ErrorAs(t, until(c, 3), &long)
		}},
		{"by a timeout", func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "abc")
			require.NoError(t, c.SetReadDeadline(soon()))
			requireTimeout(t, until(c, 0))
			require.NoError(t, c.SetReadDeadline(time.Time{}))
		}},
		{"by a context", func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "abc")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			requireTimeout(t, c.Do(ctx, func() error { return until(c, 0) }))
		}},
		{"by the end", func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "abc")
			halfClose(t, peer)
			require.Error(t, until(c, 0))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
				test.cut(t, c, peer)
				require.Zero(t, c.Buffered())
				require.Error(t, c.Reusable())
				var to conn.Conn
				require.Error(t, c.Handoff(&to))
			})
		})
	}
}

// Every way to cut a stream into reads finds the same lines, whatever in a
// delimiter repeats itself.
func TestReadUntilADelimiterThatOverlapsItself(t *testing.T) {
	for _, delim := range []string{"aa", "aab", "aba", "abab", "abcabd", "aaaab", "\r\n\r\n", "abaab"} {
		for _, stream := range []string{"aaab|", "ababab|", "abaabaab", "abcabcabd", "aaaaaab", "x\r\n\r\r\n\r\n", "abaabaababaab"} {
			end := bytes.Index([]byte(stream), []byte(delim))
			if end < 0 {
				continue
			}
			want := stream[:end+len(delim)]
			for i := range len(stream) + 1 {
				for j := i; j <= len(stream); j++ {
					c := conn.New(&stub{read: scriptedReads(pieces(stream[:i], stream[i:j], stream[j:]))})
					got, err := c.ReadUntil(nil, []byte(delim), 0)
					require.NoError(t, err)
					require.Equal(t, want, string(got), "%q cut at %d and %d", stream, i, j)

					// The same with a timeout at each cut: what was returned
					// and what stayed buffered make the same line.
					c = conn.New(&stub{read: readsWithTimeouts(pieces(stream[:i], stream[i:j], stream[j:]))})
					got = nil
					for err := os.ErrDeadlineExceeded; err != nil; {
						got, err = c.ReadUntil(got, []byte(delim), 0)
						if err != nil {
							requireTimeout(t, err)
						}
					}
					require.Equal(t, want, string(got), "%q with timeouts at %d and %d", stream, i, j)
				}
			}
		}
	}
}

// pieces leaves out what is empty.
func pieces(parts ...string) (all []string) {
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return all
}

// readsWithTimeouts is scriptedReads with a timeout before each chunk.
func readsWithTimeouts(chunks []string) func([]byte) (int, error) {
	read, late := scriptedReads(chunks), true
	return func(p []byte) (int, error) {
		if late = !late; !late {
			return 0, os.ErrDeadlineExceeded
		}
		return read(p)
	}
}

// A long delimiter that is cut at the end of the small buffer fills it to the
// brim, and reading goes on.
func TestPeekAfterADelimiterCutAtTheBuffersEnd(t *testing.T) {
	delim := append(bytes.Repeat([]byte("d"), 4999), 'E')
	c, peer := tcpPair(t)
	send(t, peer, string(delim[:2000]))
	eventually(t, conn.ErrUnread, c.Check)
	late := make(chan error, 1)
	go func() {
		for c.BytesRead() < 2000 {
			time.Sleep(time.Millisecond)
		}
		_, err := peer.Write(delim[2000:4096])
		late <- err
		for c.BytesRead() < 4096 {
			time.Sleep(time.Millisecond)
		}
		_ = c.SetReadDeadline(time.Now())
	}()
	got, err := c.ReadUntil(nil, delim, 0)
	requireTimeout(t, err)
	require.NoError(t, <-late)
	require.Empty(t, got)
	require.Equal(t, 4096, c.Buffered())
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	send(t, peer, string(delim[4096:]))
	got, err = c.Peek(len(delim))
	require.NoError(t, err)
	require.True(t, bytes.Equal(delim, got))
	got, err = c.ReadUntil(nil, delim, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(delim, got))
}

// The zero Dialer does not wait for ever: its context ends after 30 s.
func TestTheZeroDialerHasATimeLimit(t *testing.T) {
	asking := testCert().server.Clone()
	asking.ClientAuth = tls.RequestClientCert
	l := listen(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
		_ = tls.Server(nc, asking).Handshake()
		t.Cleanup(func() { nc.Close() })
	})
	limit := func(timeout time.Duration) (left time.Duration, limited bool) {
		d := conn.Dialer{Timeout: timeout, TLS: &tls.Config{RootCAs: testCert().pool,
			GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				var deadline time.Time
				deadline, limited = info.Context().Deadline()
				left = time.Until(deadline)
				return &tls.Certificate{}, nil
			}}}
		c, err := d.Dial(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, c.Close())
		return left, limited
	}
	left, limited := limit(0)
	require.True(t, limited)
	require.LessOrEqual(t, left, 30*time.Second)
	require.Greater(t, left, 20*time.Second)
	_, limited = limit(-1)
	require.False(t, limited)
	left, _ = limit(time.Hour)
	require.Greater(t, left, 50*time.Minute)
}

func TestHandoffLooksAtTheBuffer(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "xy")
		_, err := c.Peek(2)
		require.NoError(t, err)
		var to conn.Conn
		require.ErrorIs(t, c.Handoff(&to), conn.ErrUnread)
		require.ErrorIs(t, to.Close(), net.ErrClosed)
		_, err = c.Discard(1)
		require.NoError(t, err)
		require.ErrorIs(t, c.Handoff(&to), conn.ErrUnread)
		_, err = c.Discard(1)
		require.NoError(t, err)
		require.NoError(t, c.Handoff(&to))
		require.NoError(t, to.Close())
	})
}
