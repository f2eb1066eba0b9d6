package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// broken is a context of a user's own whose Deadline panics.
type broken struct{ context.Context }

func (broken) Deadline() (time.Time, bool) { panic("Deadline") }

// Such a context keeps no permit: it counts as one without a deadline.
func TestContextWhoseDeadlinePanics(t *testing.T) {
	s := &sharedConn{p: &Pipeline{cfg: &Config{}}}
	s.load.Store(2 * crowd)
	s.pace.each.Store(int64(time.Second))
	soon, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	require.True(t, s.tooLate(soon, dueNever))
	require.False(t, s.tooLate(broken{soon}, dueNever))
	require.False(t, s.tooLate(context.Background(), dueNever))
}

// The pace follows the time between replies by an eighth for each, and is not
// learned from the time while nobody waits for one.
func TestPaceFollows(t *testing.T) {
	var p pace
	p.replied(1, 1, true)
	p.replied(1, 801, true)
	require.EqualValues(t, 100, p.each.Load())
	p.replied(2, 1001, true)
	require.EqualValues(t, 100, p.each.Load())
	p.replied(8, 1001+8*900, false)
	require.EqualValues(t, 500, p.each.Load(), "as four, at most")
	p.replied(1, 1e9, true)
	require.EqualValues(t, 500, p.each.Load(), "nobody was waiting")
	p.replied(0, 2e9, false)
	p.replied(1, 3e9, false)
	require.EqualValues(t, 500, p.each.Load())
}

// Late calls widen the margin up to the double, and 64 replies forget one.
func TestPaceForgetsLateCalls(t *testing.T) {
	var p pace
	require.EqualValues(t, 2, p.margin())
	for range 100 {
		p.missed()
	}
	require.EqualValues(t, 16, p.margin())
	for range 63 {
		p.replied(1, 1, false)
	}
	require.EqualValues(t, 16, p.late.Load())
	p.replied(1, 1, false)
	require.EqualValues(t, 15, p.late.Load())
	p.replied(63, 1, false)
	require.EqualValues(t, 15, p.late.Load())
	p.replied(100, 1, false)
	require.EqualValues(t, 14, p.late.Load())
	for range 64 {
		p.replied(64, 1, false)
	}
	require.Zero(t, p.late.Load())
}

// A call that was sent and has had no reply in time widens the margin where there is a
// crowd, the call included. With fewer calls none is refused.
func TestAbandonedCallInACrowd(t *testing.T) {
	for inFlight, late := range map[int]int64{1: 0, crowd - 1: 0, crowd: 1, crowd + 1: 1} {
		s, _ := still(t, Config{})
		for range inFlight {
			s.queue.push(&call{})
		}
		s.abandonLocked(s.queue.first)
		require.Equal(t, late, s.pace.late.Load(), "%d in flight", inFlight)
	}
}

// tend looks at a connection when the first of its calls is abandoned. At the others it
// looks only where the connection ends after the last caller.
func TestAbandonedCallsAreLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		leaving error
		want    []bool
	}{
		"in service": {nil, []bool{true, false, false}},
		"leaving":    {errExpired, []bool{true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := still(t, Config{})
			s.leaving, s.tending = c.leaving, true // so that it looks again
			for range 4 {
				s.queue.push(&call{})
			}
			next := s.queue.first
			for i, want := range c.want {
				s.again = false
				s.abandonLocked(next)
				require.Equal(t, want, s.again, "abandoned: %d", i+1)
				next = next.next
			}
		})
	}
}
