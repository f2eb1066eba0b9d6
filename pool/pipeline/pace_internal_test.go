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
	s := &sharedConn{p: &Pipeline{}}
	s.load.Store(2 * crowd)
	s.pace.each.Store(int64(time.Second))
	soon, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	require.True(t, s.tooLate(soon, dueNever))
	require.False(t, s.tooLate(broken{soon}, dueNever))
	require.False(t, s.tooLate(context.Background(), dueNever))
}
