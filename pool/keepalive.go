package pool

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// keepAlive is the goroutine that probes idle connections for Config.KeepAlive.
// The zero keepAlive, of a pool without, does nothing.
type keepAlive struct{ done chan struct{} }

func (k *keepAlive) start(p *Pool) {
	k.done = make(chan struct{})
	go k.run(p)
}

// wait waits for the goroutine, which ends as the pool does.
func (k *keepAlive) wait() {
	if k.done != nil {
		<-k.done
	}
}

func (k *keepAlive) run(p *Pool) {
	defer close(k.done)
	interval, ending := p.cfg.KeepAlive, p.ending.context()
	for sleep(ending, max(interval/10, time.Millisecond)) {
		p.probeIdle(ending, int64(interval-rand.N(interval/10+1)))
	}
}

// probeIdle probes the connections that have been idle, or were last probed,
// at least so long ago. A connection is nobody else's while it is probed.
func (p *Pool) probeIdle(ending context.Context, interval int64) {
	p.backend.Sweep(func(m *Member) bool {
		now := p.clock.now()
		if ending.Err() != nil || now-m.trusted() < interval {
			return true
		}
		why, err := Dead, error(nil)
		if panicked := contain.Call("Config.Probe.Func", func() { why, err = p.probe(ending, m) }); panicked != nil {
			why, err = Dead, panicked
		}
		if why == kept {
			m.probed = p.clock.now()
			return true
		}
		if ending.Err() == nil { // else the probe was cut off
			m.evictAs(why, err)
			p.distrust(m.trusted())
		}
		return false
	})
}
