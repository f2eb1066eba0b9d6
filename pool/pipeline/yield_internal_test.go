package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The connection's goroutine gives up the read turn where nothing is to be read: no call
// is in flight, and calls are not rare. Bytes that nobody asked for end the connection,
// unless they may be a push.
func TestYield(t *testing.T) {
	for name, c := range map[string]struct {
		queued, rest, async, rare bool
		yields, watches           bool
		err                       error
	}{
		"nothing is left":              {yields: true},
		"a call has come":              {queued: true},
		"a call has come, and bytes":   {queued: true, rest: true},
		"calls are rare":               {rare: true, watches: true},
		"calls are rare, pushes too":   {rare: true, async: true},
		"bytes":                        {rest: true, yields: true, err: ErrUnsolicited},
		"bytes, and calls are rare":    {rest: true, rare: true, yields: true, err: ErrUnsolicited},
		"bytes that may be a push":     {rest: true, async: true},
		"nothing is left, with pushes": {async: true, yields: true},
	} {
		t.Run(name, func(t *testing.T) {
			s, there := still(t, Config{})
			s.reading, s.async, s.rare = readerLoop, c.async, c.rare
			if c.queued {
				s.queue.push(&call{})
			}
			if c.rest {
				_, err := there.Write([]byte{0})
				require.NoError(t, err)
				_, err = s.nc.Peek(1)
				require.NoError(t, err)
			}
			require.Equal(t, c.yields, s.yield())
			require.True(t, s.mu.TryLock())
			require.Equal(t, c.yields, s.reading == nobody)
			require.Equal(t, c.watches, s.watch)
			require.Equal(t, c.err, s.err)
		})
	}
}
