package gtcp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// PoolOptions says how the pools behind NewPoolConn work. The zero value is
// gtcp's way: any number of connections, each for up to 600 seconds, lent even
// if their peer has closed them meanwhile.
type PoolOptions struct {
	// Backend keeps the connections: slotpool.Open[*pool.Member],
	// puddlepool.Open[*pool.Member], or one of your own. Nil means puddlepool.
	Backend backend.OpenFunc[*pool.Member]

	// MaxConns bounds the connections of an address. When all are lent,
	// NewPoolConn waits for one, as long as it would for a dial. Zero and
	// less mean no bound.
	MaxConns int

	// MaxWaiters bounds how many may wait so; one more fails at once. Zero
	// means no bound, less that nobody may wait.
	MaxWaiters int

	// MaxLifetime bounds the age of a connection, from its dial. Zero means
	// 600 seconds, less means no bound.
	MaxLifetime time.Duration

	// MaxIdleTime bounds how long a connection is kept unused. Zero or
	// negative means no bound but MaxLifetime.
	MaxIdleTime time.Duration

	// Probe looks at a connection before it is lent: one that its peer has
	// closed, or that has unread bytes, is replaced, and the borrower does
	// not notice. Without it one that its peer has closed is lent, as gtcp
	// does, and reads io.EOF; unread bytes are looked for all the same, with
	// the first operation on it.
	Probe bool

	// KeepUnanswered keeps a connection that has brought nothing since it was
	// last sent to. It is for peers that do not answer, or not to what comes
	// last: a program that borrows, sends and closes then uses its connections
	// again. Without it such a connection is closed, as gtcp's are not, for
	// the next borrower would take an answer under way for his own.
	KeepUnanswered bool
}

// ConfigurePools sets how the pools of the given addresses work, or, without
// an address, those of all addresses that have no options of their own. It can
// be called before or after their first use: an existing pool makes way for a
// new one, and its connections are closed as they come back. An option out of
// range is an error, and nothing changes.
func ConfigurePools(options PoolOptions, addrs ...string) error {
	if err := options.config().Validate(); err != nil {
		return err
	}
	pools.configure(options, addrs)
	return nil
}

// PoolStat returns the figures of the pool of addr, all zero if it has none:
// it was not used yet, or not for so long that it was forgotten.
func PoolStat(addr string) pool.Stat {
	if p := pools.of(addr); p != nil {
		return p.pool.Stat()
	}
	return pool.Stat{}
}

// maxDialTimeout bounds a dial for which no bound was asked.
const maxDialTimeout = 10 * time.Minute

// config is the pool's configuration, with gtcp's behaviour where it differs
// from the pool's own defaults.
func (o PoolOptions) config() pool.Config {
	c := pool.Config{
		Backend:     o.Backend,
		MaxConns:    o.MaxConns,
		MaxWaiters:  o.MaxWaiters,
		MaxLifetime: o.MaxLifetime,
		MaxIdleTime: o.MaxIdleTime,
		MaxDialing:  -1,
		DialTimeout: maxDialTimeout,
		DialBackoff: conn.DialBackoff{After: -1},
	}
	if c.MaxConns == 0 {
		c.MaxConns = -1
	}
	if !o.Probe {
		c.Probe.Mode = pool.ProbeByCaller
	}
	return c
}

// addressPool is the pool of one address.
type addressPool struct {
	pool     *pool.Pool
	bounded  bool
	probes   bool         // before a checkout
	patience atomic.Int64 // the longest dial timeout asked for so far
	used     atomic.Bool  // since the registry last looked

	oneWay
}

func newAddressPool(addr string, o PoolOptions) (*addressPool, error) {
	p := &addressPool{bounded: o.MaxConns > 0, probes: o.Probe}
	p.keepUnanswered = o.KeepUnanswered
	p.patience.Store(int64(defaultDialTimeout))
	target := conn.Target{Address: addr, Dial: func(ctx context.Context) (net.Conn, error) {
		// The dial is made for whoever waits longest: it outlives the caller
		// that began it, and its connection then serves the next.
		ctx, cancel := context.WithTimeout(ctx, time.Duration(p.patience.Load()))
		defer cancel()
		c, err := dial(ctx, addr, nil)
		if err != nil {
			return nil, err
		}
		return c, nil
	}}
	var err error
	p.pool, err = pool.New(target, o.config())
	return p, err
}

// get lends a connection within the caller's dial timeout.
func (p *addressPool) get(timeout []time.Duration) (*pool.Conn, terms, error) {
	patience := time.Duration(p.patience.Load())
	if len(timeout) == 0 && !p.bounded && patience == defaultDialTimeout {
		// The dial bounds itself and nothing else is waited for.
		c, err := p.pool.Get(context.Background())
		return c, terms{p, defaultDialTimeout}, err
	}
	ctx, cancel, limit := dialContext(timeout)
	defer cancel()
	for want := asked(limit); want > patience; patience = time.Duration(p.patience.Load()) {
		p.patience.CompareAndSwap(int64(patience), int64(want))
	}
	c, err := p.pool.Get(ctx)
	return c, terms{p, limit}, err
}

// asked is the dial timeout that a limit asks for: zero asks for the longest.
func asked(limit time.Duration) time.Duration {
	if limit == 0 {
		return maxDialTimeout
	}
	return min(limit, maxDialTimeout)
}

// forgetAfter is how often the registry looks for addresses that nobody has
// used and that have no connection left; one found so twice is forgotten.
const forgetAfter = time.Minute

// registry holds the pool of each address. Its timer runs only while there is
// a pool that could be forgotten.
type registry struct {
	byAddr sync.Map // of *addressPool by address; changed with mu held, so that every call can read it without

	mu       sync.Mutex // guards the fields below; never held across I/O
	defaults PoolOptions
	options  map[string]PoolOptions // of addresses that have their own
	retired  []*addressPool         // replaced, and waiting for what they lent
	timer    *time.Timer            // nil: not running
}

var pools registry

// of is the pool of addr, nil if there is none.
func (r *registry) of(addr string) *addressPool {
	p, _ := r.byAddr.Load(addr)
	a, _ := p.(*addressPool)
	return a
}

// get lends a connection to addr within the dial timeout.
func (r *registry) get(addr string, timeout []time.Duration) (*pool.Conn, terms, error) {
	for {
		p := r.of(addr)
		if p == nil {
			var err error
			if p, err = r.open(addr); err != nil {
				return nil, terms{}, err
			}
		}
		if !p.used.Load() {
			p.used.Store(true)
		}
		c, t, err := p.get(timeout)
		if err == nil || !errors.Is(err, pool.ErrClosed) {
			return c, t, err
		}
		// It was forgotten a moment ago, and by now is not found again.
	}
}

// open returns the pool of an address that had none a moment ago.
func (r *registry) open(addr string) (*addressPool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.of(addr); p != nil {
		return p, nil
	}
	options, own := r.options[addr]
	if !own {
		options = r.defaults
	}
	p, err := newAddressPool(addr, options)
	if err != nil {
		return nil, err
	}
	r.byAddr.Store(addr, p)
	r.watch()
	return p, nil
}

// configure sets options and retires the pools that had others.
func (r *registry) configure(o PoolOptions, addrs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(addrs) == 0 {
		r.defaults = o
		for addr := range r.byAddr.Range {
			if _, own := r.options[addr.(string)]; !own {
				r.retire(addr.(string))
			}
		}
		return
	}
	if r.options == nil {
		r.options = map[string]PoolOptions{}
	}
	for _, addr := range addrs {
		r.options[addr] = o
		r.retire(addr)
	}
}

// retire takes the pool of addr out of use; mu is held. Clear closes in the
// background and does not block.
func (r *registry) retire(addr string) {
	p := r.of(addr)
	if p == nil {
		return
	}
	r.byAddr.Delete(addr)
	r.retired = append(r.retired, p)
	p.pool.Clear()
}

// watch sees to it that the registry looks again; mu is held.
func (r *registry) watch() {
	if r.timer == nil {
		r.timer = time.AfterFunc(forgetAfter, r.look)
	}
}

// look forgets the pools that are done with, and closes them. A caller who has
// one of them in hand gets another, or, if he comes just before, a loan for
// whose end Close waits.
func (r *registry) look() {
	var done []*addressPool
	r.mu.Lock()
	r.timer = nil
	watched := false
	for addr, v := range r.byAddr.Range {
		p := v.(*addressPool)
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
		p.pool.Clear() // a caller may have had it in hand when it was retired
		kept = append(kept, p)
	}
	r.retired = kept
	if watched || len(kept) > 0 {
		r.watch()
	}
	r.mu.Unlock()
	for _, p := range done {
		_ = p.pool.Shutdown(context.Background())
	}
}

// quiet says whether nothing is in the pool, nor wanted from it.
func (p *addressPool) quiet() bool {
	s := p.pool.Stat()
	return s.Open == 0 && s.Dialing == 0 && s.Waiting == 0
}
