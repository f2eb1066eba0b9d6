package gtcp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool"
)

// forgetAfter is how often the registry looks for addresses that nobody has
// used and that have no connection left; one found so twice is forgotten.
const forgetAfter = time.Minute

// registry holds the pool of each address. Its timer runs only while there is
// a pool that could be forgotten.
type registry struct {
	byAddr sync.Map // by address, of *addressPool or *service; changed with mu held, so that every call can read it without

	mu       sync.Mutex // guards the fields below; never held across I/O
	defaults PoolOptions
	options  map[string]PoolOptions // of addresses that have their own
	retired  []*addressPool         // replaced, and waiting for their connections to come back
	timer    *time.Timer            // nil: not running

	totals totals // of all pools that there have been
}

var pools registry

// of is the pool of addr, nil if there is none.
func (r *registry) of(addr string) *addressPool {
	v, _ := r.byAddr.Load(addr)
	p, _ := v.(*addressPool)
	return p
}

// get takes a connection to addr within the dial timeout.
func (r *registry) get(addr string, timeout []time.Duration) (*pool.Conn, terms, error) {
	for {
		v, found := r.byAddr.Load(addr)
		if !found {
			var err error
			if v, err = r.open(addr); err != nil {
				return nil, terms{}, err
			}
		}
		var c *pool.Conn
		var t terms
		var err error
		switch p := v.(type) {
		case *addressPool:
			if !p.used.Load() {
				p.used.Store(true)
			}
			c, t, err = p.get(timeout)
		case *service:
			c, t, err = p.get(timeout)
		}
		if err == nil || !errors.Is(err, pool.ErrClosed) && !errors.Is(err, errServiceReplaced) {
			return c, t, err
		}
		// It was forgotten a moment ago, and by now is not found again.
	}
}

// open returns the pool of an address that had none a moment ago.
func (r *registry) open(addr string) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, found := r.byAddr.Load(addr); found {
		return v, nil
	}
	p, err := newAddressPool("tcp", addr, r.optionsLocked(addr))
	if err != nil {
		return nil, err
	}
	r.totals.add(p)
	r.byAddr.Store(addr, p)
	r.watchLocked()
	return p, nil
}

func (r *registry) optionsLocked(addr string) PoolOptions {
	if own, found := r.options[addr]; found {
		return own
	}
	return r.defaults
}

// configure sets options and retires the pools that had others.
func (r *registry) configure(o PoolOptions, addrs []string) {
	r.mu.Lock()
	var replaced []*service
	if len(addrs) == 0 {
		r.defaults = o
		for addr := range r.byAddr.Range {
			if _, own := r.options[addr.(string)]; !own {
				addrs = append(addrs, addr.(string))
			}
		}
	} else {
		if r.options == nil {
			r.options = map[string]PoolOptions{}
		}
		for _, addr := range addrs {
			r.options[addr] = o
		}
	}
	for _, addr := range addrs {
		switch p, _ := r.byAddr.Load(addr); p := p.(type) {
		case *addressPool:
			r.byAddr.Delete(addr)
			r.retireLocked(p)
		case *service:
			next, err := r.newServiceLocked(addr, p.resolver, p.policy)
			if err == nil { // as it was the first time
				r.byAddr.Store(addr, next)
				replaced = append(replaced, p)
			}
		}
	}
	r.mu.Unlock()
	for _, s := range replaced {
		s.close()
	}
}

// retireLocked sees a pool to its end that is out of use. Clear closes in the
// background and does not block.
func (r *registry) retireLocked(p *addressPool) {
	r.retired = append(r.retired, p)
	p.pool.Clear()
	r.watchLocked()
}

func (r *registry) retire(p *addressPool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retireLocked(p)
}

// watchLocked sees to it that the registry looks again.
func (r *registry) watchLocked() {
	if r.timer == nil {
		r.timer = time.AfterFunc(forgetAfter, r.look)
	}
}

// look forgets the pools that are no longer used, and closes them. A caller that
// holds one of them gets another, or, if it comes just before, a checkout whose
// end Shutdown waits for.
func (r *registry) look() {
	var done []*addressPool
	r.mu.Lock()
	r.timer = nil
	watched := false
	for addr, v := range r.byAddr.Range {
		p, plain := v.(*addressPool)
		if !plain {
			continue // a service stays until it is taken away
		}
		if p.used.Swap(false) || !p.quiet() {
			watched = true
			continue
		}
		r.byAddr.Delete(addr)
		done = append(done, p)
	}
	var kept []*addressPool
	for _, p := range r.retired {
		if p.quiet() {
			done = append(done, p)
			continue
		}
		p.pool.Clear() // a caller may have held it when it was retired
		kept = append(kept, p)
	}
	r.retired = kept
	if watched || len(kept) > 0 {
		r.watchLocked()
	}
	r.mu.Unlock()
	for _, p := range done {
		_ = p.pool.Shutdown(context.Background())
		r.totals.remove(p)
	}
}

// list returns what Pools lists, in any order.
func (r *registry) list() (all []PoolInfo) {
	for addr, v := range r.byAddr.Range {
		switch p := v.(type) {
		case *addressPool:
			all = append(all, PoolInfo{Addr: p.addr, Stat: p.pool.Stat(), Pool: p.pool})
		case *service:
			all = append(all, p.list(addr.(string))...)
		}
	}
	return all
}
