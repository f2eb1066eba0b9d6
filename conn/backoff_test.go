package conn_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestBackoffError(t *testing.T) {
	cause := errors.New("refused")
	err := &conn.BackoffError{Err: cause, Wait: 1500 * time.Microsecond}
	require.ErrorIs(t, err, cause)
	require.True(t, err.SafeToRetry())
	require.Equal(t, 1500*time.Microsecond, err.RetryAfter())
	require.EqualError(t, err, "dialing suspended for 2ms: refused")
}

// A pause is a sixteenth of the outage or so, within its bounds, less up to a half.
func TestPauseIsSpreadOverHalfOfIt(t *testing.T) {
	b := conn.DialBackoff{After: 1, Min: time.Millisecond, Max: time.Second}
	least, most := time.Hour, time.Duration(0)
	for range 10_000 {
		d := b.Pause(1, 24*time.Hour)
		least, most = min(least, d), max(most, d)
	}
	require.GreaterOrEqual(t, least, 500*time.Millisecond)
	require.Less(t, least, 510*time.Millisecond)
	require.LessOrEqual(t, most, time.Second)
	require.Greater(t, most, 990*time.Millisecond)

	b.Min = 900 * time.Millisecond
	for range 1000 {
		require.GreaterOrEqual(t, b.Pause(1, 24*time.Hour), b.Min)
	}
	require.Zero(t, conn.DialBackoff{After: -1}.Pause(1000, time.Hour))
	require.Zero(t, conn.DialBackoff{After: 2}.Pause(1, time.Hour))
	require.NotZero(t, conn.DialBackoff{After: 2}.Pause(2, time.Hour))
}
