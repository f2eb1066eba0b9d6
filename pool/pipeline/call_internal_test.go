package pipeline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A call whose place another has taken is in no queue any more, wherever it was.
func TestCallThatIsReplaced(t *testing.T) {
	for at := range 3 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			var q queue
			calls := []*call{{}, {}, {}}
			for i, c := range calls {
				c.start, c.size, c.number, c.old, c.wrote = uint64(i), 2, 3, 4, 5
				q.push(c)
			}
			gone, heir := calls[at], &call{}
			q.replace(gone, heir)
			require.False(t, gone.queued, "its caller may not withdraw it once more")
			require.Nil(t, gone.prev)
			require.Nil(t, gone.next)
			calls[at] = heir
			require.Equal(t, uint64(at), heir.start)
			require.Equal(t, call{start: uint64(at), size: 2, number: 3, old: 4, wrote: 5, queued: true,
				prev: heir.prev, next: heir.next}, *heir)
			require.Equal(t, 3, q.len())
			for c, i := q.last, 2; i >= 0; c, i = c.prev, i-1 {
				require.Same(t, calls[i], c)
			}
			for _, c := range calls {
				require.Same(t, c, q.pop())
				require.False(t, c.queued)
			}
			require.Nil(t, q.first)
			require.Nil(t, q.last)
			require.Zero(t, q.len())
		})
	}
}
