package dialgate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("down")

// dial makes one dial that takes d and ends with err.
func dial(g *dialgate.Gate, d time.Duration, err error) error {
	pass, refused := g.Enter(context.Background())
	if refused != nil {
		return refused
	}
	time.Sleep(d)
	g.Leave(pass, err)
	return err
}

// suspended requires that no dial may begin, and returns for how long.
func suspended(t *testing.T, g *dialgate.Gate) time.Duration {
	t.Helper()
	var b *conn.BackoffError
	require.ErrorAs(t, dial(g, 0, nil), &b)
	require.ErrorIs(t, b, errDown)
	return b.Wait
}

// The first success after an outage comes within 50 ms for one second and
// within 5 % for longer ones, and within half a second, at a bounded number of dials.
func TestRecoveryFollowsTheOutage(t *testing.T) {
	for _, c := range []struct {
		outage time.Duration
		lag    time.Duration
		dials  int
	}{
		{time.Second, 50 * time.Millisecond, 100},
		{20 * time.Second, 500 * time.Millisecond, 260},
		{10 * time.Minute, 500 * time.Millisecond, 2500},
	} {
		t.Run(c.outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := dialgate.New(0, conn.DialBackoff{})
				begun, dials := time.Now(), 0
				for {
					err := errDown
					if time.Since(begun) >= c.outage {
						err = nil
					}
					err = dial(g, 0, err)
					var b *conn.BackoffError
					if errors.As(err, &b) {
						require.Positive(t, b.RetryAfter())
						time.Sleep(b.RetryAfter())
						continue
					}
					dials++
					if err == nil {
						break
					}
				}
				require.LessOrEqual(t, time.Since(begun)-c.outage, c.lag)
				require.LessOrEqual(t, dials, c.dials)
			})
		})
	}
}

func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := dialgate.New(0, conn.DialBackoff{After: 1, Min: time.Second, Max: time.Second})
		require.ErrorIs(t, dial(g, 0, errDown), errDown)
		require.Equal(t, time.Second, suspended(t, g))
		time.Sleep(time.Second)
		probe, err := g.Enter(t.Context())
		require.NoError(t, err)
		require.Equal(t, time.Second, suspended(t, g), "the pause that would follow")
		time.Sleep(time.Hour)
		require.Equal(t, time.Second, suspended(t, g), "never zero: callers would spin")
		g.Leave(probe, nil)
		require.NoError(t, dial(g, 0, nil))
		_, paused := g.Suspended()
		require.False(t, paused)
		require.Equal(t, errDown, g.LastError())
	})
}

// A dial that was given up says nothing: the next caller probes.
func TestGivenUpProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := dialgate.New(0, conn.DialBackoff{After: 1, Min: time.Second})
		_ = dial(g, 0, errDown)
		time.Sleep(time.Second)
		_ = dial(g, 0, context.Canceled)
		require.NoError(t, dial(g, 0, nil))
	})
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := dialgate.New(1, conn.DialBackoff{After: 2})
		first, err := g.Enter(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := g.Enter(ctx); ended <- err }()
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- dial(g, time.Second, errDown) }()
		}
		synctest.Wait()
		cause := errors.New("shutting down")
		cancel(cause)
		err = <-ended
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, cause)
		g.Leave(first, errDown)
		start := time.Now()
		for range 2 { // the second in the queue is refused when the first fails
			require.ErrorIs(t, <-results, errDown)
		}
		require.Equal(t, time.Second, time.Since(start))
		require.Positive(t, suspended(t, g))
	})
}

// A peer that accepts and closes counts as one that cannot be dialed.
func TestUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := dialgate.New(0, conn.DialBackoff{})
		for range 3 {
			begun := time.Now()
			require.NoError(t, dial(g, 0, nil))
			g.Unanswered(begun, errDown)
		}
		require.Positive(t, suspended(t, g))
		time.Sleep(time.Second)
		begun := time.Now()
		require.NoError(t, dial(g, 0, nil))
		g.Unanswered(begun, errDown)
		require.GreaterOrEqual(t, suspended(t, g), 25*time.Millisecond, "the outage goes on")
		time.Sleep(time.Second)
		require.NoError(t, dial(g, 0, nil))
		g.Answered()
		g.Unanswered(time.Now(), errDown)
		require.NoError(t, dial(g, 0, nil), "a new row of failures")
	})
}

func TestStragglersDoNotLengthenThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := dialgate.New(0, conn.DialBackoff{After: 1, Min: 10 * time.Second})
		straggler, err := g.Enter(t.Context())
		require.NoError(t, err)
		_ = dial(g, 0, errDown)
		wait := suspended(t, g)
		time.Sleep(time.Second)
		g.Leave(straggler, errDown)
		require.Equal(t, wait-time.Second, suspended(t, g))
	})
}
