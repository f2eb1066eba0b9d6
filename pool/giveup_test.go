package pool_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// hangingDial hangs until its context ends, and then says something that has
// nothing to do with it, until it is switched to dial.
type hangingDial struct {
	dial  func(context.Context) (net.Conn, error)
	works atomic.Bool
}

func (d *hangingDial) Dial(ctx context.Context) (net.Conn, error) {
	if d.works.Load() {
		return d.dial(ctx)
	}
	<-ctx.Done()
	return nil, errors.New("no route to host")
}

// TestClearEndsDials: the address answers nothing, then it moves. Who calls Clear
// then does not wait for what hangs, and it does not count as an outage.
func TestClearEndsDials(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		d := &hangingDial{dial: s.dial}
		p := newPool(t, conn.Target{Dial: d.Dial}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1}})
		start := time.Now()
		got := make(chan error, 1)
		go func() {
			c, err := p.Get(context.Background())
			if err == nil {
				err = c.Close()
			}
			got <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Dialing)
		d.works.Store(true)
		p.Clear()
		require.NoError(t, <-got)
		require.Zero(t, time.Since(start))
		require.Equal(t, 1, s.dialed())
	})
}
