package balance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSamplerFollowsTheRate(t *testing.T) {
	var s sampler
	now := int64(time.Hour)
	for _, c := range []struct {
		between time.Duration
		mask    uint64
	}{
		{time.Second, 0}, {10 * time.Microsecond, 1}, {49 * time.Microsecond, 3}, {100 * time.Microsecond, 3}, {1, 7}, {1, 15}, {1, 15},
		{201 * time.Microsecond, 7}, {time.Millisecond, 3}, {time.Second, 1}, {time.Second, 0}, {time.Second, 0},
	} {
		now += int64(c.between)
		s.took(now)
		require.Equal(t, c.mask, s.mask.Load(), "%v", c.between)
	}
	s.mask.Store(15)
	require.True(t, s.due(0xfff<<12))
	require.False(t, s.due(1<<sampleBits))
}
