package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// Every reply that hooks hear of has a moment of its first byte. Where no time was taken
// when that was read, it is the moment of the delivery.
func TestFirstByteOfEveryReply(t *testing.T) {
	s := &sharedConn{begun: time.Now().Add(-time.Hour), readAt: 3 * time.Minute}
	for name, c := range map[string]struct {
		wrote, begun  time.Duration
		least, latest time.Duration
	}{
		"a lone caller has begun to read it": {time.Minute, 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		"it was waited for":                  {2 * time.Minute, 0, 3 * time.Minute, 3 * time.Minute},
		"it was read with the one before it": {4 * time.Minute, 0, time.Hour, 1<<63 - 1},
	} {
		of := &call{wrote: c.wrote, first: c.begun}
		s.readLocked(of)
		require.GreaterOrEqual(t, of.first, c.least, name)
		require.LessOrEqual(t, of.first, c.latest, name)
	}
}

// A call whose end no hook wants to hear of has no times taken.
func TestHookThatDoesNotWantTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, there := connected(t, Config{Hooks: []any{incurious{t}}})
		gone := make(chan error, 1)
		go func() {
			_, err := p.Call(context.Background(), []byte("request"))
			gone <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 1, s.load.Load())
		require.Zero(t, s.watched.Load())
		b, _ := framing.Format{}.Append(nil, []byte("reply"))
		_, err := there.Write(b)
		require.NoError(t, err)
		require.NoError(t, <-gone)
	})
}

// incurious is a hook that wants to hear of no end.
type incurious struct{ *testing.T }

func (incurious) BeforeCall(context.Context, string) context.Context { return nil }

func (h incurious) AfterCall(context.Context, CallEvent) { h.Error("AfterCall") }
