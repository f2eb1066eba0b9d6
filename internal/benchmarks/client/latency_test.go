package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A rate of zero would never end.
func TestThroughputIsNeverZero(t *testing.T) {
	calls := make([]func() error, 3)
	for i := range calls {
		calls[i] = func() error { return nil }
	}
	rate, err := throughput(calls, 0) // over before any call has begun
	require.NoError(t, err)
	require.Positive(t, rate)
}
