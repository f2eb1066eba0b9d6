package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func readByte(c *conn.Conn) func() error {
	return func() error {
		_, err := c.Read(make([]byte, 1))
		return err
	}
}

func TestDoEndedByItsContext(t *testing.T) {
	reason := errors.New("the user left")
	tests := []struct {
		name    string
		ctx     func(parent context.Context) (context.Context, func())
		want    error
		timeout bool
	}{
		{"deadline", func(p context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(p, time.Second)
			return ctx, cancel
		}, context.DeadlineExceeded, true},
		{"cancellation", func(p context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(p)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled, false},
		{"cause", func(p context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(p)
			time.AfterFunc(time.Second, func() { cancel(reason) })
			return ctx, func() { cancel(nil) }
		}, reason, false},
		{"a deadline alone", func(p context.Context) (context.Context, func()) {
			return deadlineOnly{p, time.Now().Add(time.Second)}, func() {}
		}, context.DeadlineExceeded, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := memoryPair(t)
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				start := time.Now()
				err := c.Do(ctx, readByte(c))
				require.Equal(t, time.Second, time.Since(start))
				require.ErrorIs(t, err, test.want)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the I/O error is in it too")
				requireSafe(t, false, err)
				var e *conn.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, test.timeout, e.Timeout())
				require.ErrorContains(t, err, "conn: do ")
				require.ErrorIs(t, c.Reusable(), conn.ErrUnfit)

				// Nothing of the context is left on the connection.
				time.Sleep(time.Hour)
				send(t, peer, "x")
				require.NoError(t, readByte(c)())
			})
		})
	}
}

// deadlineOnly is a context that has a deadline and no Done channel.
type deadlineOnly struct {
	context.Context
	at time.Time
}

func (c deadlineOnly) Deadline() (time.Time, bool) { return c.at, true }
func (c deadlineOnly) Done() <-chan struct{}       { return nil }
func (c deadlineOnly) Err() error                  { return nil }

func TestDoWithAContextThatHasEnded(t *testing.T) {
	c, _ := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.Do(ctx, func() error { panic("not to be called") })
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "conn: do "+c.RemoteAddr().String()+": context canceled")
	requireSafe(t, true, err)

	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err = c.Do(expired, func() error { panic("not to be called") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireTimeout(t, err)
	requireSafe(t, true, err)
	require.NoError(t, c.Reusable())
}

func TestDoRestoresTheCallersDeadlines(t *testing.T) {
	for _, own := range []time.Duration{time.Second, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := memoryPair(t)
			start := time.Now()
			require.NoError(t, c.SetReadDeadline(start.Add(own)))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()

			// The earlier of the two counts.
			err := c.Do(ctx, readByte(c))
			require.Equal(t, min(own, 2*time.Second), time.Since(start))
			require.Equal(t, own > 2*time.Second, errors.Is(err, context.DeadlineExceeded), "%v", err)

			err = readByte(c)()
			requireTimeout(t, err)
			require.Equal(t, own, time.Since(start))
		})
	}
}

func TestDeadlinesSetDuringDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := memoryPair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := c.Do(ctx, func() error {
			require.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
			requireTimeout(t, readByte(c)())
			require.NoError(t, c.SetDeadline(start.Add(time.Hour)))
			require.NoError(t, c.SetWriteDeadline(time.Time{}))
			return readByte(c)()
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start), "a later deadline does not lift the context's")
		requireTimeout(t, readByte(c)())
		require.Equal(t, time.Hour, time.Since(start), "and it is in effect afterwards")
	})
}

// An interrupt that fires as f returns has had its effect undone when Do
// returns.
func TestDoWaitsForAFiringInterrupt(t *testing.T) {
	for range 200 {
		c, peer := memoryPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, c.Do(ctx, func() error {
			go cancel()
			return nil
		}))
		send(t, peer, "x")
		require.NoError(t, readByte(c)())
		require.NoError(t, c.Reusable())
		cancel()
	}
}

func TestDoInterruptedDuringReadAvailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := memoryPair(t)
		send(t, peer, "partial")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		var got []byte
		err := c.Do(ctx, func() (err error) {
			got, err = c.ReadAvailable(nil, 1, time.Hour)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "partial", string(got))

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		send(t, peer, "partial")
		err = c.Do(ctx, func() (err error) {
			got, err = c.ReadAvailable(nil, 1, time.Hour)
			return err
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestDoOneAtATime(t *testing.T) {
	c, _ := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, c.Do(ctx, func() error {
		err := c.Do(ctx, func() error { panic("not to be called") })
		require.ErrorIs(t, err, conn.ErrBusy)
		requireSafe(t, true, err)
		require.ErrorIs(t, c.Reusable(), conn.ErrBusy)
		var to conn.Conn
		require.ErrorIs(t, c.Handoff(&to), conn.ErrBusy)
		return nil
	}))
	require.NoError(t, c.Reusable())
	require.NoError(t, c.Do(context.Background(), func() error { return nil }))
}

func TestDoSurvivesAPanic(t *testing.T) {
	c, peer := tcpPair(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.PanicsWithValue(t, "oops", func() { _ = c.Do(ctx, func() error { panic("oops") }) })
	send(t, peer, "x")
	require.NoError(t, c.Do(ctx, readByte(c)))
	require.NoError(t, c.Reusable())
}

func TestDoReturnsOtherErrorsAsTheyAre(t *testing.T) {
	for _, ctx := range []context.Context{context.Background(), t.Context()} {
		c, peer := tcpPair(t)
		mine := errors.New("mine")
		require.True(t, c.Do(ctx, func() error { return mine }) == mine)
		require.NoError(t, peer.Close())
		require.True(t, c.Do(ctx, readByte(c)) == io.EOF)
	}
}

// A second write that fails with nothing written is safe to repeat, but the
// Do that holds the first one too is not.
func TestDoWithTwoWrites(t *testing.T) {
	writes := 0
	broken := errors.New("no more")
	for _, ctx := range []context.Context{context.Background(), t.Context()} {
		writes = 0
		c := conn.New(&stub{write: func(p []byte) (int, error) {
			if writes++; writes > 1 {
				return 0, broken
			}
			return len(p), nil
		}})
		var second error
		err := c.Do(ctx, func() error {
			if _, err := c.Write([]byte("first")); err != nil {
				return err
			}
			_, second = c.Write([]byte("second"))
			return second
		})
		requireSafe(t, true, second)
		requireSafe(t, false, err)
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "conn: do stub:1: write: no more (after 5 bytes written)")

		err = c.Do(ctx, func() error { _, err := c.Write([]byte("third")); return err })
		requireSafe(t, true, err)
	}
}

// Over TLS a write that failed may have sent some without a byte counted. The
// next one is refused, and safe by itself, but the Do that holds both is not.
func TestDoWithAWriteAfterATornOne(t *testing.T) {
	broken := errors.New("no more")
	for _, ctx := range []context.Context{context.Background(), t.Context()} {
		c := conn.New(wrapper{&stub{write: func([]byte) (int, error) { return 0, broken }}})
		var second error
		err := c.Do(ctx, func() error {
			_, err := c.Write([]byte("torn"))
			requireSafe(t, false, err)
			_, second = c.Write([]byte("torn"))
			return second
		})
		requireSafe(t, true, second)
		requireSafe(t, false, err)
		require.ErrorIs(t, err, broken)

		err = c.Do(ctx, func() error { _, err := c.Write([]byte("refused")); return err })
		requireSafe(t, true, err)
	}
}

func TestDoWithAFailingDeadline(t *testing.T) {
	c := conn.New(noDeadlines{&stub{}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	err := c.Do(ctx, func() error { panic("not to be called") })
	require.ErrorIs(t, err, errors.ErrUnsupported)
	requireSafe(t, true, err)
	require.ErrorIs(t, c.SetDeadline(time.Now()), errors.ErrUnsupported)
	require.ErrorIs(t, c.SetReadDeadline(time.Now()), errors.ErrUnsupported)
}

type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error     { return errors.ErrUnsupported }
func (noDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }
