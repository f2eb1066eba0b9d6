package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type behaviour struct {
	timeout, safe, closed bool
}

func TestErrorsByBehaviour(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want behaviour
	}{
		"closed":           {backend.ErrClosed, behaviour{closed: true}},
		"stale":            {backend.ErrStale, behaviour{}},
		"too many waiters": {backend.ErrTooManyWaiters, behaviour{timeout: true, safe: true}},
		"overloaded":       {backend.ErrOverloaded, behaviour{timeout: true, safe: true}},
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

func TestValidate(t *testing.T) {
	ok := backend.Factory[int]{New: func(context.Context) (int, error) { return 0, nil }, Close: func(int) {}}
	require.NoError(t, ok.Validate())
	require.ErrorContains(t, backend.Factory[int]{Close: ok.Close}.Validate(), "New")
	require.ErrorContains(t, backend.Factory[int]{New: ok.New}.Validate(), "Close")
	require.NoError(t, backend.Limits{}.Validate())
	require.NoError(t, backend.Limits{Max: -1, MaxWaiters: -1}.Validate())
	require.ErrorContains(t, backend.Limits{DialTimeout: -1}.Validate(), "DialTimeout")
}

func TestStrings(t *testing.T) {
	require.Equal(t, "keep", backend.Keep.String())
	require.Equal(t, "discard", backend.Discard.String())
	require.Equal(t, "discard", backend.Verdict(7).String())
	require.Equal(t, 5, backend.Stat{Idle: 2, Used: 3, Dialing: 9}.Open())
}

func TestPanicError(t *testing.T) {
	p := &backend.PanicError{Op: "New", Value: "ouch"}
	require.EqualError(t, p, "backend: Factory.New panicked: ouch")
	require.NoError(t, p.Unwrap())
	require.ErrorIs(t, &backend.PanicError{Op: "Close", Value: io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF)
	require.EqualError(t, &backend.PanicError{Op: "Close"}, "backend: Factory.Close called runtime.Goexit")
}
