package gtcp

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

func TestAddStat(t *testing.T) {
	var sum pool.Stat
	now := time.Now()
	addStat(&sum, pool.Stat{Open: 1, Gets: 2, WaitTime: 3, OldestWait: 9, Suspended: true, SuspendedUntil: now, LastDialError: io.EOF})
	one := pool.Stat{Open: 10, Gets: 20, WaitTime: 30, OldestWait: 5}
	one.Evictions[pool.Dead] = 4
	addStat(&sum, one)
	want := pool.Stat{Open: 11, Gets: 22, WaitTime: 33, OldestWait: 9, Suspended: true, SuspendedUntil: now, LastDialError: io.EOF}
	want.Evictions[pool.Dead] = 4
	require.Equal(t, want, sum)

	var shared pipeline.Stat
	addStat(&shared, pipeline.Stat{Calls: 1, DialTime: 2})
	addStat(&shared, pipeline.Stat{Calls: 3, DialTime: 4})
	require.Equal(t, pipeline.Stat{Calls: 4, DialTime: 6}, shared)
}
