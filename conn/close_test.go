package conn_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

var noContext = context.Background()

// Close from another goroutine ends every blocking call at once.
func TestCloseDuringEverything(t *testing.T) {
	big := make([]byte, 64<<20)
	calls := map[string]func(c *conn.Conn) error{
		"Read":          func(c *conn.Conn) error { return readByte(c)() },
		"direct Read":   func(c *conn.Conn) error { _, err := c.Read(make([]byte, 64<<10)); return err },
		"ReadFull":      func(c *conn.Conn) error { _, err := c.ReadFull(make([]byte, 9)); return err },
		"ReadUntil":     func(c *conn.Conn) error { _, err := c.ReadUntil(nil, []byte("\n"), 0); return err },
		"ReadAvailable": func(c *conn.Conn) error { _, err := c.ReadAvailable(nil, 1, time.Hour); return err },
		"Peek":          func(c *conn.Conn) error { _, err := c.Peek(9); return err },
		"Discard":       func(c *conn.Conn) error { _, err := c.Discard(9); return err },
		"Write":         func(c *conn.Conn) error { _, err := c.Write(big); return err },
		"WriteBuffers":  func(c *conn.Conn) error { _, err := c.WriteBuffers([][]byte{big, big}); return err },
		"Do": func(c *conn.Conn) error {
			ctx, cancel := context.WithTimeout(noContext, time.Hour)
			defer cancel()
			return c.Do(ctx, readByte(c))
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *conn.Conn, _ net.Conn) {
				done := make(chan error, 1)
				go func() { done <- call(c) }()
				eventually(t, conn.ErrBusy, c.Reusable)
				if err := c.Close(); err != nil {
					// TLS could not say goodbye behind the blocked write.
					require.NotErrorIs(t, err, net.ErrClosed)
				}
				require.ErrorIs(t, <-done, net.ErrClosed)
				require.ErrorIs(t, c.Err(), net.ErrClosed)
			})
		})
	}
}

func TestCloseLosesWhatIsBuffered(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "abc")
		_, err := c.Peek(3)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Zero(t, c.Buffered())
		_, err = c.Read(make([]byte, 3))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorContains(t, err, c.RemoteAddr().String())
	})
}

// A transport that has its own word for it: net.Pipe says io.ErrClosedPipe.
func TestCloseOfAnyTransportIsErrClosed(t *testing.T) {
	for _, call := range []func(c *conn.Conn) error{
		func(c *conn.Conn) error { return readByte(c)() },
		func(c *conn.Conn) error { _, err := c.Write([]byte("x")); return err },
	} {
		a, b := net.Pipe()
		defer b.Close()
		c := conn.New(a)
		done := make(chan error, 1)
		go func() { done <- call(c) }()
		eventually(t, conn.ErrBusy, c.Reusable)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
	}
}

func TestCloseReportsTheTransportsError(t *testing.T) {
	failing := errors.New("will not close")
	calls := 0
	c := conn.New(&stub{close: func() error { return failing }})
	c.OnClose(func() { calls++ })
	err := c.Close()
	require.ErrorIs(t, err, failing)
	require.EqualError(t, err, "conn: close stub:1: will not close")
	require.Equal(t, 1, calls, "closed it is all the same")
	require.ErrorIs(t, c.Err(), net.ErrClosed)
}

// Readers take turns: each byte goes to one of them.
func TestConcurrentReadersAndWriters(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		const each, workers = 200, 4
		sum := make(chan int, workers)
		for range workers {
			go func() {
				got, p := 0, make([]byte, 1)
				for range each {
					if _, err := c.ReadFull(p); err != nil {
						t.Error(err)
						break
					}
					got += int(p[0])
				}
				sum <- got
			}()
			go func() {
				for range each {
					if _, err := c.Write([]byte{1}); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		go func() {
			p := make([]byte, 16)
			for {
				n, err := peer.Read(p)
				if err != nil {
					return
				}
				if _, err := peer.Write(p[:n]); err != nil {
					return
				}
			}
		}()
		total := 0
		for range workers {
			total += <-sum
		}
		require.Equal(t, each*workers, total)
	})
}
