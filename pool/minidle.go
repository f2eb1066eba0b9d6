package pool

import (
	"context"
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// minIdle is the goroutine that keeps Config.MinIdle connections ready. The
// zero minIdle, of a pool without, does nothing.
type minIdle struct {
	wake   chan struct{} // capacity 1; nil in the zero keeper
	cancel context.CancelFunc
	done   chan struct{}
}

// minIdleRest is the least time between two rounds, so that a busy pool does
// not keep this one busy.
const minIdleRest = 10 * time.Millisecond

// failedRest is that time after a failure, unless the failure says more.
const failedRest = 100 * time.Millisecond

func (k *minIdle) start(p *Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	*k = minIdle{wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go k.run(ctx, p)
}

// poke tells it that an idle connection may be missing.
func (k *minIdle) poke() {
	if k.wake == nil {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and waits for it. It may be called again.
func (k *minIdle) stop() {
	if k.wake != nil {
		k.cancel()
		<-k.done
	}
}

func (k *minIdle) run(ctx context.Context, p *Pool) {
	defer close(k.done)
	for {
		rest := minIdleRest
		if err := p.backend.Warm(ctx, p.cfg.MinIdle); err != nil {
			rest = failedRest
			var backoff *conn.BackoffError
			if errors.As(err, &backoff) {
				rest = max(backoff.Wait, minIdleRest)
			}
			k.poke() // it is still missing
		}
		if !sleep(ctx, rest) {
			return
		}
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
	}
}

// sleep waits for d; it reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
