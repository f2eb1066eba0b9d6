package pool

import (
	"context"
	"errors"
	"time"
)

// keeper is the goroutine that keeps Config.MinIdle connections ready. The
// zero keeper, of a pool without MinIdle, does nothing.
type keeper struct {
	wake   chan struct{} // capacity 1; nil in the zero keeper
	cancel context.CancelFunc
	done   chan struct{}
}

// keeperRest is the least time between two rounds, so that a busy pool does
// not keep the keeper busy.
const keeperRest = 10 * time.Millisecond

func (k *keeper) start(p *Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	*k = keeper{wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go k.run(ctx, p)
}

// poke tells the keeper that an idle connection may be missing.
func (k *keeper) poke() {
	if k.wake == nil {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and waits for it. It may be called again.
func (k *keeper) stop() {
	if k.wake != nil {
		k.cancel()
		<-k.done
	}
}

func (k *keeper) run(ctx context.Context, p *Pool) {
	defer close(k.done)
	for {
		rest := keeperRest
		if err := p.backend.Warm(ctx, p.cfg.MinIdle); err != nil {
			rest = p.cfg.DialBackoff.Min
			var backoff *BackoffError
			if errors.As(err, &backoff) {
				rest = max(backoff.RetryAfter, keeperRest)
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
