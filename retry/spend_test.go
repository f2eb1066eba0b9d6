package retry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// A hedged request is paid for like a retry.
func TestBudgetSpend(t *testing.T) {
	b := &retry.Budget{Ratio: -1, PerSecond: -1, Burst: 2}
	require.True(t, b.Spend())
	require.True(t, b.Spend())
	require.False(t, b.Spend())
	require.EqualValues(t, 2, b.Stat().Allowed)
	require.EqualValues(t, 1, b.Stat().Denied)
	require.True(t, (*retry.Budget)(nil).Spend())
}
