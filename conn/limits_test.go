package conn_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// deadlines is a transport that notes the deadlines it is given, or refuses them.
type deadlines struct {
	net.Conn
	read, write       time.Time
	readErr, writeErr error
}

func (d *deadlines) SetDeadline(at time.Time) error {
	return errors.Join(d.SetReadDeadline(at), d.SetWriteDeadline(at))
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return d.readErr
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = at
	return d.writeErr
}

func noted(t *testing.T) (*conn.Conn, *deadlines) {
	c, _ := memoryPair(t)
	d := &deadlines{Conn: c.NetConn()}
	return conn.New(d), d
}

// Each deadline is for its own direction.
func TestDeadlineOfOneDirection(t *testing.T) {
	early, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	c, d := noted(t)
	require.NoError(t, c.SetReadDeadline(early))
	require.Equal(t, early, d.read)
	require.Zero(t, d.write)
	require.NoError(t, c.SetWriteDeadline(late))
	require.Equal(t, early, d.read)
	require.Equal(t, late, d.write)
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.Zero(t, d.read)
	require.Zero(t, d.write)
}

// During Do the earlier of the caller's deadline and the context's is in effect,
// for each direction by itself, and set at once.
func TestDeadlinesDuringDo(t *testing.T) {
	limit := time.Now().Add(2 * time.Hour)
	early, late := limit.Add(-time.Hour), limit.Add(time.Hour)
	for name, test := range map[string]struct{ read, write, wantRead, wantWrite time.Time }{
		"none":             {time.Time{}, time.Time{}, limit, limit},
		"both are earlier": {early, early, early, early},
		"both are later":   {late, late, limit, limit},
		"reads earlier":    {early, late, early, limit},
		"writes earlier":   {late, early, limit, early},
		"only for reads":   {early, time.Time{}, early, limit},
		"only for writes":  {time.Time{}, early, limit, early},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), limit)
			defer cancel()
			check := func(d *deadlines) {
				require.True(t, d.read.Equal(test.wantRead), d.read)
				require.True(t, d.write.Equal(test.wantWrite), d.write)
			}
			c, d := noted(t) // set before
			require.NoError(t, c.SetReadDeadline(test.read))
			require.NoError(t, c.SetWriteDeadline(test.write))
			require.NoError(t, c.Do(ctx, func() error { check(d); return nil }))
			require.True(t, d.read.Equal(test.read), "they are in effect again")
			require.True(t, d.write.Equal(test.write))

			c, d = noted(t) // set meanwhile
			require.NoError(t, c.Do(ctx, func() error {
				require.NoError(t, c.SetReadDeadline(test.read))
				require.NoError(t, c.SetWriteDeadline(test.write))
				check(d)
				return nil
			}))
		})
	}
}

// A transport that refuses a deadline is heard.
func TestDeadlineThatIsRefused(t *testing.T) {
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		readErr, writeErr error
		set               func(c *conn.Conn) error
	}{
		"of reads":         {refused, nil, func(c *conn.Conn) error { return c.SetReadDeadline(time.Now()) }},
		"of writes":        {nil, refused, func(c *conn.Conn) error { return c.SetWriteDeadline(time.Now()) }},
		"of both":          {refused, refused, func(c *conn.Conn) error { return c.SetDeadline(time.Now()) }},
		"of both, reads":   {refused, nil, func(c *conn.Conn) error { return c.SetDeadline(time.Now()) }},
		"of both, writes":  {nil, refused, func(c *conn.Conn) error { return c.SetDeadline(time.Now()) }},
		"of what is wrong": {refused, refused, func(c *conn.Conn) error { return c.SetDeadline(time.Time{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, underDo := range []bool{false, true} {
				c, d := noted(t)
				set := func() error {
					d.readErr, d.writeErr = test.readErr, test.writeErr
					defer func() { d.readErr, d.writeErr = nil, nil }()
					return test.set(c)
				}
				if underDo {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					require.NoError(t, c.Do(ctx, func() error {
						require.ErrorIs(t, set(), refused)
						return nil
					}))
					continue
				}
				err := set()
				require.ErrorIs(t, err, refused)
				var e *conn.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, "deadline", e.Op)
			}
		})
	}
}

// The caller's deadline that has passed does not keep Check from finding bytes
// where only a read tells.
func TestCheckInMemoryAfterADeadline(t *testing.T) {
	c, peer := memoryPair(t)
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
	send(t, peer, "x")
	require.ErrorIs(t, c.Check(), conn.ErrUnread)
}

// lateBy is a connection whose user loses its processor for so long right after a
// read deadline was set.
type lateBy struct {
	net.Conn
	late func(time.Duration) time.Duration // of the time that was left
}

func (l lateBy) SetReadDeadline(at time.Time) error {
	err := l.Conn.SetReadDeadline(at)
	if left := time.Until(at); left > 0 {
		time.Sleep(l.late(left))
	}
	return err
}

// A look that ended in time counts only if it was begun in time, and a later look
// waits for longer, so that a machine that holds it up for a while is outlasted.
func TestCheckOnAMachineThatHoldsItUp(t *testing.T) {
	half := func(left time.Duration) time.Duration { return left + left/2 }
	fixed := func(time.Duration) time.Duration { return 3 * time.Millisecond }
	for name, test := range map[string]struct {
		late   func(time.Duration) time.Duration
		unread bool
		want   error
	}{
		"begun too late, nothing there": {half, false, conn.ErrBusy},
		"held up for 3 ms, nothing":     {fixed, false, nil},
		"held up for 3 ms, a byte":      {fixed, true, conn.ErrUnread},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, peer := memoryPair(t)
				c := conn.New(lateBy{inner.NetConn(), test.late})
				if test.unread {
					send(t, peer, "x")
				}
				err := c.Check()
				if test.want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, test.want)
				}
			})
		})
	}
}
