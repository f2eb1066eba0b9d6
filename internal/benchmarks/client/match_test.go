package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	ours "github.com/seed-99d6a01a/gtcp"
)

// What is told is the time of the fast calls, while the slow request is in progress.
func TestBehindASlowRequest(t *testing.T) {
	const takes = 200 * time.Millisecond
	for _, unordered := range []bool{true, false} {
		addr, err := serveSlow(unordered, takes)
		require.NoError(t, err)
		config := ours.ClientConfig{Shared: true, CallTimeout: time.Minute}
		config.Pipeline.StallTimeout = -1
		if unordered {
			config.Match = number
		}
		begun := time.Now()
		figures, err := crowded("x", addr, config, true).Measure(0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begun), takes)
		require.Len(t, figures, 2)
		require.GreaterOrEqual(t, figures[0], figures[1], "p99 and p50")
	}
}
