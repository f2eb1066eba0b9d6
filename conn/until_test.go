package conn_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestReadUntil(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	tests := []struct {
		name, delim string
		chunks      []string // one read each
		want        string
	}{
		{"one byte", "\n", []string{"a\nb"}, "a\n"},
		{"nothing before it", "\n", []string{"\n\n"}, "\n"},
		{"across reads", "\r\n", []string{"a\r", "\nb"}, "a\r\n"},
		{"a false start", "\r\n", []string{"a\r", "\r\nb"}, "a\r\r\n"},
		{"overlapping itself", "aab", []string{"aa", "ab"}, "aaab"},
		{"over three reads", "1234", []string{"012", "3", "45"}, "01234"},
		{"first of two", "ab", []string{"xa", "bab"}, "xab"},
		{"case counts", "END", []string{"end End END"}, "end End END"},
		{"bytes, not runes", "\xff", []string{"\xfe\x80\xff\xfd"}, "\xfe\x80\xff"},
		{"longer than the buffer", "\n", []string{long[:50_000], long[50_000:] + "\nb"}, long + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := conn.New(&stub{read: scriptedReads(test.chunks)})
			got, err := c.ReadUntil(nil, []byte(test.delim), 0)
			require.NoError(t, err)
			require.True(t, test.want == string(got), "%.50q", got)
		})
	}
}

// scriptedReads returns a Read that brings a chunk a call, or what fits of it.
func scriptedReads(chunks []string) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		if len(chunks) == 0 {
			return 0, net.ErrClosed
		}
		n := copy(p, chunks[0])
		if chunks[0] = chunks[0][n:]; chunks[0] == "" {
			chunks = chunks[1:]
		}
		return n, nil
	}
}

func TestReadUntilBound(t *testing.T) {
	tests := []struct {
		name, stream string
		max          int
		want         string
		tooLong      bool
	}{
		{"fits exactly", "abc\nrest", 4, "abc\n", false},
		{"one too long", "abcd\nrest", 4, "abcd", true},
		{"delimiter cut by the bound", "ab\r\nrest", 3, "ab\r", true},
		{"default bound", strings.Repeat("x", (1<<20)+10), 0, strings.Repeat("x", (1 << 20)), true},
		{"negative is the default too", strings.Repeat("x", (1<<20)+10), -1, strings.Repeat("x", (1 << 20)), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := conn.New(&stub{read: scriptedReads([]string{test.stream})})
			delim := "\n"
			if strings.Contains(test.stream, "\r") {
				delim = "\r\n"
			}
			got, err := c.ReadUntil(nil, []byte(delim), test.max)
			require.True(t, test.want == string(got))
			rest := make([]byte, 4)
			if !test.tooLong {
				require.NoError(t, err)
				return
			}
			var long *conn.LineTooLongError
			require.ErrorAs(t, err, &long)
			require.Equal(t, len(test.want), long.Limit)
			require.ErrorContains(t, err, "conn: read stub:1: no delimiter within ")
			require.ErrorIs(t, c.Reusable(), conn.ErrUnread)
			n, err := c.Read(rest)
			require.NoError(t, err, "the stream goes on behind the bound")
			require.Equal(t, test.stream[test.max*btoi(test.max > 0)+len(test.want)*btoi(test.max <= 0):][:n], string(rest[:n]))
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Wherever a timeout cuts the stream, the same lines come out of it.
func TestReadUntilGoesOnAfterATimeout(t *testing.T) {
	const stream = "a--b--=cd-==--=--="
	delim := []byte("--=")
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		for cut := 1; cut < len(stream); cut++ {
			var lines []string
			var line []byte
			next := func() (err error) {
				if line, err = c.ReadUntil(line, delim, 0); err == nil {
					lines, line = append(lines, string(line)), nil
				}
				return err
			}
			send(t, peer, stream[:cut])
			require.NoError(t, c.SetReadDeadline(soon()))
			err := next()
			for err == nil {
				err = next()
			}
			requireTimeout(t, err)
			require.NoError(t, c.SetReadDeadline(time.Time{}))
			send(t, peer, stream[cut:])
			for len(lines) < 3 {
				require.NoError(t, next())
			}
			require.Equal(t, []string{"a--b--=", "cd-==--=", "--="}, lines, "cut at %d", cut)
		}
	})
}

// Of what a timeout cut, only what may begin a delimiter stays.
func TestReadUntilKeepsTheBeginningOfADelimiter(t *testing.T) {
	arrived := []byte("abc--")
	c := conn.New(&stub{read: func(p []byte) (n int, err error) {
		if n, arrived = copy(p, arrived), nil; n == 0 {
			err = os.ErrDeadlineExceeded
		}
		return n, err
	}})
	for _, want := range []string{"kept abc", "kept "} {
		got, err := c.ReadUntil([]byte("kept "), []byte("--="), 0)
		requireTimeout(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, 2, c.Buffered())
	}
	got, err := c.ReadUntil(nil, []byte("+"), 0)
	requireTimeout(t, err)
	require.Equal(t, "--", string(got))
}

func TestReadUntilWithoutADelimiter(t *testing.T) {
	c, _ := tcpPair(t)
	got, err := c.ReadUntil([]byte("as it was"), nil, 0)
	require.ErrorIs(t, err, conn.ErrEmptyDelimiter)
	require.Equal(t, "as it was", string(got))
	require.NoError(t, c.Reusable())
}

func TestReadUntilGivesWhatCameBeforeTheEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "no newline")
		halfClose(t, peer)
		got, err := c.ReadUntil(nil, []byte("\n"), 0)
		require.Equal(t, "EOF", err.Error())
		require.Equal(t, "no newline", string(got))
	})
}

func TestReadAvailable(t *testing.T) {
	const wait = 20 * time.Millisecond
	large := strings.Repeat("y", 200_000)
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "short")
		got, err := c.ReadAvailable([]byte("> "), 128, time.Hour)
		require.NoError(t, err, "fewer than short bytes must not wait")
		require.Equal(t, "> short", string(got))

		sent := make(chan error, 1)
		go func() {
			_, err := peer.Write([]byte(large))
			sent <- err
		}()
		got = got[:0]
		for len(got) < len(large) { // a busy machine may pause the peer for longer than wait
			got, err = c.ReadAvailable(got, 128, wait)
			require.NoError(t, err)
		}
		require.True(t, large == string(got))
		require.NoError(t, <-sent)
		require.NoError(t, c.Reusable(), "the wait is no timeout of the caller's")

		send(t, peer, "last words")
		halfClose(t, peer)
		got, err = c.ReadAvailable(nil, 1, time.Minute)
		require.Equal(t, "EOF", err.Error())
		require.Equal(t, "last words", string(got))
	})
}

func TestReadAvailableBoundedByTheDeadline(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "first words")
		_, err := c.Peek(11)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(soon()))
		got, err := c.ReadAvailable(nil, 1, time.Hour)
		requireTimeout(t, err)
		require.Equal(t, "first words", string(got))
		require.NoError(t, c.SetReadDeadline(time.Time{}))

		// The wait has left no deadline behind.
		send(t, peer, "more")
		got, err = c.ReadAvailable(nil, 100, time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, "more", string(got))
	})
}
