package gtcp

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each duration lies in a bucket that ends above it, by a quarter at most.
func TestLatencyBuckets(t *testing.T) {
	for d := time.Duration(0); d < time.Hour; d = d*9/8 + 1 {
		end := bucketEnd(bucketOf(d))
		require.GreaterOrEqual(t, end, d)
		require.LessOrEqual(t, end, max(d*5/4, 2*time.Microsecond), d)
	}
	require.Equal(t, latencyBuckets-1, bucketOf(math.MaxInt64))
	require.Equal(t, 0, bucketOf(math.MinInt64))
}

func TestLatencyPercentile(t *testing.T) {
	var l latencies
	_, ok := l.p95()
	require.False(t, ok)
	for range latencyAge * 10 {
		for range 29 {
			l.add(time.Millisecond)
		}
		l.add(time.Second)
	}
	d, ok := l.p95()
	require.True(t, ok)
	require.InDelta(t, time.Millisecond, d, float64(time.Millisecond)/3)
	require.Less(t, l.total.Load(), uint32(latencyAge))
	for range latencyAge * 2 {
		l.add(time.Second)
	}
	d, _ = l.p95()
	require.InDelta(t, time.Second, d, float64(time.Second)/3)
}
