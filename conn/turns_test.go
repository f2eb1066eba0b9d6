package conn_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// Several readers and writers wait for their turn: Close ends them all, and nothing
// stays locked.
func TestCloseEndsThoseThatWaitForTheirTurn(t *testing.T) {
	for range 200 {
		closed, reading, writing := make(chan struct{}), make(chan struct{}, 9), make(chan struct{}, 9)
		c := conn.New(&stub{
			read:  func([]byte) (int, error) { reading <- struct{}{}; <-closed; return 0, net.ErrClosed },
			write: func([]byte) (int, error) { writing <- struct{}{}; <-closed; return 0, net.ErrClosed },
			close: func() error { close(closed); return nil },
		})
		errs := make(chan error, 8)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, err := c.Read(make([]byte, 1)); errs <- err })
			wg.Go(func() { _, err := c.Write([]byte("x")); errs <- err })
		}
		<-reading
		<-writing
		for range 10 {
			runtime.Gosched() // the others come as far as they can
		}
		require.NoError(t, c.Close())
		wg.Wait()
		for range cap(errs) {
			require.ErrorIs(t, <-errs, net.ErrClosed)
		}
		require.ErrorIs(t, c.Reusable(), net.ErrClosed)
	}
}

// A handle that has been handed on says so, whatever its successor is doing.
func TestEndedHandleWhileItsSuccessorReads(t *testing.T) {
	reading, closed := make(chan struct{}), make(chan struct{})
	c := conn.New(&stub{
		read:  func([]byte) (int, error) { close(reading); <-closed; return 0, net.ErrClosed },
		close: func() error { close(closed); return nil },
	})
	var next, other conn.Conn
	require.NoError(t, c.Handoff(&next))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = next.Read(make([]byte, 1))
	}()
	<-reading
	require.ErrorIs(t, c.Reusable(), net.ErrClosed)
	require.ErrorIs(t, c.Handoff(&other), net.ErrClosed)
	require.ErrorIs(t, next.Reusable(), conn.ErrBusy)
	n, err := c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.Zero(t, n)
	n64, err := c.WriteBuffers([][]byte{[]byte("x")})
	require.ErrorIs(t, err, net.ErrClosed)
	require.Zero(t, n64)
	require.NoError(t, next.Close())
	<-done
}

// A connection in the middle of the write of an Ask is in use.
func TestConnectionInUseByTheWriteOfAsk(t *testing.T) {
	c, _ := memoryPair(t)
	nc := c.NetConn()
	writing, goOn := make(chan struct{}), make(chan struct{})
	c = conn.New(&slowWrite{nc, writing, goOn})
	done := make(chan error)
	go func() { _, err := c.Ask([]byte("x")); done <- err }()
	<-writing
	require.ErrorIs(t, c.Reusable(), conn.ErrBusy)
	require.ErrorIs(t, c.Handoff(new(conn.Conn)), conn.ErrBusy)
	close(goOn)
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-done, net.ErrClosed)
}

// slowWrite is a transport whose writes wait.
type slowWrite struct {
	net.Conn
	writing, goOn chan struct{}
}

func (s *slowWrite) Write(p []byte) (int, error) {
	close(s.writing)
	<-s.goOn
	return s.Conn.Write(p)
}

// lateContext is a context whose deadline has passed, and which has not noticed.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Unix(1, 0), true }

// An Ask that the deadline of its Do keeps from its write has written nothing, and
// breaks nothing.
func TestAskAfterTheDeadlineOfItsDo(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		err := c.Do(lateContext{t.Context()}, func() error {
			n, err := c.Ask([]byte("x"))
			require.Zero(t, n)
			requireSafe(t, true, err)
			return err
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, c.Err())
		_, err = c.Write([]byte("y"))
		require.NoError(t, err, "nothing stays locked")
		b := make([]byte, 1)
		_, err = peer.Read(b)
		require.NoError(t, err)
		require.Equal(t, "y", string(b))
	})
}

// A reply that does not come is no reply, although one has been read before.
func TestAskTimesOutAfterARead(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "hello")
		_, err := c.ReadFull(make([]byte, 5))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err = c.Do(ctx, func() error { _, err := c.Ask([]byte("x")); return err })
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// The write of an Ask that a timeout cuts after its first byte cannot go on.
func TestAskCutAfterOneByte(t *testing.T) {
	c, _ := memoryPair(t)
	nc := c.NetConn()
	c = conn.New(&oneByteWrite{nc})
	n, err := c.Ask([]byte("xy"))
	require.Equal(t, 1, n)
	requireTimeout(t, err)
	_, err = c.Write([]byte("z"))
	requireSafe(t, true, err)
	require.Error(t, c.Err())
}

// oneByteWrite is a transport whose writes time out after a byte.
type oneByteWrite struct{ net.Conn }

func (c *oneByteWrite) Write(p []byte) (int, error) { return 1, os.ErrDeadlineExceeded }

// A deadline that is set while ReadAvailable waits for more does not lengthen that
// wait, and one that has not passed is no error.
func TestDeadlineWhileReadAvailableWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := memoryPair(t)
		send(t, peer, "abc")
		require.NoError(t, c.SetReadDeadline(time.Now().Add(2*time.Hour)))
		time.AfterFunc(time.Millisecond, func() { _ = c.SetReadDeadline(time.Now().Add(time.Hour)) })
		start := time.Now()
		b, err := c.ReadAvailable(nil, 0, time.Second)
		require.NoError(t, err)
		require.Equal(t, "abc", string(b))
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.Close())
	})
}

// ReadAvailable reads on from as many bytes as asked for, and counts only its own.
func TestReadAvailableCountsItsOwnBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := memoryPair(t)
		send(t, peer, "abc")
		time.AfterFunc(10*time.Millisecond, func() { _, _ = peer.Write([]byte("def")) })
		b, err := c.ReadAvailable([]byte("12345"), 3, 20*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, "12345abcdef", string(b))
		send(t, peer, "gh")
		start := time.Now()
		b, err = c.ReadAvailable(b, 3, 20*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, "12345abcdefgh", string(b))
		require.Zero(t, time.Since(start), "fewer than three")
		require.NoError(t, c.Close())
	})
}
