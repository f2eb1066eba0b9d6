package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type behaviour struct {
	timeout, safe, closed bool
}

func TestErrorsByBehaviour(t *testing.T) {
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-1))
	defer cancel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		err  error
		want behaviour
	}{
		"closed":           {backend.ErrClosed, behaviour{closed: true}},
		"stale":            {backend.ErrStale, behaviour{}},
		"too many waiters": {backend.ErrTooManyWaiters, behaviour{timeout: true, safe: true}},
		"deadline":         {backend.Ended(expired), behaviour{timeout: true, safe: true}},
		"cancelled":        {backend.Ended(cancelled), behaviour{safe: true}},
		"wrapped":          {fmt.Errorf("get: %w", backend.ErrClosed), behaviour{closed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var ne net.Error
			require.ErrorAs(t, c.err, &ne)
			require.Equal(t, c.want.timeout, ne.Timeout())
			var safe interface{ SafeToRetry() bool }
			require.ErrorAs(t, c.err, &safe)
			require.Equal(t, c.want.safe, safe.SafeToRetry())
			require.Equal(t, c.want.closed, errors.Is(c.err, net.ErrClosed))
			require.Contains(t, c.err.Error(), "backend: ")
		})
	}
	require.NotErrorIs(t, backend.ErrClosed, backend.ErrStale)
	require.NotErrorIs(t, backend.ErrClosed, io.EOF)
}

func TestEndedHasTheCause(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrUnexpectedEOF)
	err := backend.Ended(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, err.Error(), io.ErrUnexpectedEOF.Error())
}

func TestValidate(t *testing.T) {
	ok := backend.Factory[int]{New: func(context.Context) (int, error) { return 0, nil }, Close: func(int) {}}
	require.NoError(t, ok.Validate())
	require.ErrorContains(t, backend.Factory[int]{Close: ok.Close}.Validate(), "New")
	require.ErrorContains(t, backend.Factory[int]{New: ok.New}.Validate(), "Close")
	require.NoError(t, backend.Limits{}.Validate())
	require.NoError(t, backend.Limits{Max: -1, MaxWaiters: -1}.Validate())
	require.ErrorContains(t, backend.Limits{DialTimeout: -1}.Validate(), "DialTimeout")
	require.True(t, backend.Limits{}.Unbounded())
	require.True(t, backend.Limits{Max: -1}.Unbounded())
	require.False(t, backend.Limits{Max: 1}.Unbounded())
}

func TestStrings(t *testing.T) {
	require.Equal(t, "keep", backend.Keep.String())
	require.Equal(t, "discard", backend.Discard.String())
	require.Equal(t, "discard", backend.Verdict(7).String())
	require.Equal(t, 5, backend.Stat{Idle: 2, Used: 3, Dialing: 9}.Open())
}

func TestDialContext(t *testing.T) {
	type key struct{}
	for name, c := range map[string]struct {
		limits backend.Limits
		want   time.Duration
	}{
		"default": {backend.Limits{}, backend.DefaultDialTimeout},
		"set":     {backend.Limits{DialTimeout: time.Second}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				life, endLife := context.WithCancel(context.Background())
				defer endLife()
				caller, endCaller := context.WithTimeout(context.WithValue(context.Background(), key{}, 7), time.Millisecond)
				ctx, cancel := c.limits.DialContext(caller, life)
				defer cancel()
				endCaller()
				require.NoError(t, ctx.Err(), "outlives its caller")
				require.NoError(t, context.Cause(ctx), "the caller's cause is not its own")
				require.Equal(t, 7, ctx.Value(key{}))
				d, ok := ctx.Deadline()
				require.True(t, ok)
				require.Equal(t, c.want, time.Until(d))
				<-ctx.Done()
				require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
			})
		})
	}
}

func TestDialContextEndsWithTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, endLife := context.WithCancel(context.Background())
		ctx, cancel := backend.Limits{}.DialContext(context.Background(), life)
		defer cancel()
		endLife()
		synctest.Wait()
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		after, cancel := backend.Limits{}.DialContext(context.Background(), life)
		defer cancel()
		synctest.Wait()
		require.Error(t, after.Err(), "begun after the end")
	})
}

// outcome is what Make or Dispose told, and how often.
type outcome struct {
	value int
	err   error
	calls int
}

func TestMake(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		new   func(context.Context) (int, error)
		check func(t *testing.T, o outcome)
	}{
		"success": {
			func(context.Context) (int, error) { return 7, nil },
			func(t *testing.T, o outcome) { require.Equal(t, outcome{7, nil, 1}, o) },
		},
		"failure, with a value to be ignored": {
			func(context.Context) (int, error) { return 7, refused },
			func(t *testing.T, o outcome) { require.Equal(t, outcome{0, refused, 1}, o) },
		},
		"panic": {
			func(context.Context) (int, error) { panic("ouch") },
			func(t *testing.T, o outcome) {
				var p *backend.PanicError
				require.ErrorAs(t, o.err, &p)
				require.Equal(t, "ouch", p.Value)
				require.Equal(t, "backend: Factory.New panicked: ouch", p.Error())
				require.NoError(t, p.Unwrap())
				require.True(t, strings.Contains(string(p.Stack), "TestMake"), "the stack of the panic")
			},
		},
		"panic with an error": {
			func(context.Context) (int, error) { panic(refused) },
			func(t *testing.T, o outcome) { require.ErrorIs(t, o.err, refused) },
		},
		"exit": {
			func(context.Context) (int, error) { runtime.Goexit(); return 7, nil },
			func(t *testing.T, o outcome) {
				require.EqualError(t, o.err, "backend: Factory.New called runtime.Goexit")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := backend.Factory[int]{New: c.new}
			o := apart(func(o *outcome) {
				f.Make(t.Context(), func(v int, err error) { o.value, o.err, o.calls = v, err, o.calls+1 })
			})
			require.Equal(t, 1, o.calls)
			c.check(t, o)
		})
	}
}

func TestDispose(t *testing.T) {
	closed := 0
	for name, c := range map[string]struct {
		close func(int)
		want  string
	}{
		"success": {func(v int) { closed = v }, ""},
		"panic":   {func(int) { panic("ouch") }, "backend: Factory.Close panicked: ouch"},
		"exit":    {func(int) { runtime.Goexit() }, "backend: Factory.Close called runtime.Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			f := backend.Factory[int]{Close: c.close}
			o := apart(func(o *outcome) {
				f.Dispose(7, func(err error) { o.err, o.calls = err, o.calls+1 })
			})
			require.Equal(t, 1, o.calls)
			if c.want == "" {
				require.NoError(t, o.err)
				require.Equal(t, 7, closed)
				return
			}
			require.EqualError(t, o.err, c.want)
		})
	}
}

// apart runs f on a goroutine of its own, which it may end.
func apart(f func(*outcome)) outcome {
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(&o)
	}()
	<-done
	return o
}
