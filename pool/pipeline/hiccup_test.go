package pipeline_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// A server that stands still for a moment now and then makes the calls that were
// sent late. Under overload nearly all that it can do are good calls nevertheless:
// fewer are sent at a time.
func TestOverloadOfAServerThatStandsStill(t *testing.T) {
	const (
		work, still, every = 2 * time.Millisecond, 60 * time.Millisecond, 250 * time.Millisecond
		patience, length   = 200 * time.Millisecond, 30 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Int64
		p, err := pipeline.New(conn.Target{Dial: func(context.Context) (net.Conn, error) {
			here, there := memnet.Pipe()
			go func() {
				defer there.Close()
				frame := make([]byte, 3)
				for next := time.Now().Add(every); ; {
					if _, err := io.ReadFull(there, frame); err != nil {
						return
					}
					time.Sleep(work)
					if time.Now().After(next) {
						time.Sleep(still)
						next = time.Now().Add(every)
					}
					handled.Add(1)
					if _, err := there.Write(frame); err != nil {
						return
					}
				}
			}()
			return here, nil
		}}, framing.Format{}, pipeline.Config{})
		require.NoError(t, err)
		var good atomic.Int64
		var callers sync.WaitGroup
		for begun := time.Now(); time.Since(begun) < length; time.Sleep(work / 5) {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if _, err := p.Call(ctx, []byte("x")); err == nil {
					good.Add(1)
				}
			})
		}
		callers.Wait()
		t.Logf("%d of %d handled were good", good.Load(), handled.Load())
		require.Greater(t, float64(good.Load()), 0.9*float64(handled.Load()))
		capacity := float64(length/(every+still)) * float64(every/work)
		require.Greater(t, float64(good.Load()), 0.85*capacity)
		require.NoError(t, p.Close())
	})
}
