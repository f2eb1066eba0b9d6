package pool

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// keepAlive is the goroutine that probes idle connections for Config.KeepAlive.
// The zero keepAlive, of a pool without, does nothing.
type keepAlive struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (k *keepAlive) start(p *Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	*k = keepAlive{cancel: cancel, done: make(chan struct{})}
	go k.run(ctx, p)
}

// stop ends the goroutine and waits for it. It may be called again.
func (k *keepAlive) stop() {
	if k.cancel != nil {
		k.cancel()
		<-k.done
	}
}

func (k *keepAlive) run(ctx context.Context, p *Pool) {
	defer close(k.done)
	interval := p.cfg.KeepAlive
	for sleep(ctx, max(interval/10, time.Millisecond)) {
		p.probeIdle(ctx, int64(interval-rand.N(interval/10+1)))
	}
}

// probeIdle probes the connections that have been idle, or were last probed,
// at least so long ago. A connection is nobody else's while it is probed.
func (p *Pool) probeIdle(ctx context.Context, interval int64) {
	p.backend.Sweep(func(m *Member) bool {
		now := p.clock.now()
		if ctx.Err() != nil || now-m.trusted() < interval {
			return true
		}
		why, err := Dead, error(nil)
		if panicked := contain.Call("Config.Probe.Func", func() { why, err = p.probe(ctx, m) }); panicked != nil {
			why, err = Dead, panicked
		}
		if why == kept {
			m.probed = p.clock.now()
			return true
		}
		if ctx.Err() == nil {
			m.evictAs(why, err)
			p.distrust(m.trusted())
		}
		return false
	})
}
