package balance

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Balancer gives each call the value of one endpoint. Make one with [New]. Its
// methods may be called from many goroutines.
type Balancer[T any] struct {
	config Config[T]
	base   time.Time
	seed   uint64 // of the subset
	rand   func() uint64

	view  atomic.Pointer[view[T]]
	offer atomic.Pointer[offer] // the first node that waits for a call to try it
	known chan struct{}         // closed when view is first set

	sampler sampler

	updates chan update
	wake    chan struct{} // has room for one; the loop has something to look at
	refused atomic.Uint64 // calls, by endpoints that had too much to do
	armed   atomic.Bool   // there have been failures: the loop compares rates

	mu     sync.Mutex // guards events
	events []event

	cancel  context.CancelFunc
	running sync.WaitGroup // the loop and the watch
	drains  drains
	closing sync.Once

	loop loop[T] // owned by the loop's goroutine
}

// view is what Pick works on. It never changes; the loop replaces it.
type view[T any] struct {
	picker  Picker
	err     *Error // why there is no picker
	only    *member[T]
	members []*member[T]
	decay   int64 // of the latency; 0: the picker does not want it
	sticky  bool  // keyed calls keep to their node in its slow start
	panic   bool  // nodes that are out are used
	closed  bool

	resolved time.Time // when the set was last reported
	failure  error     // of the resolver, after that
}

// New returns a balancer, which begins to resolve at once. Close or Shutdown
// releases what it holds.
func New[T any](config Config[T]) (*Balancer[T], error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Balancer[T]{
		config: config, base: time.Now().Add(-time.Second), seed: rand.Uint64(), rand: config.Rand,
		known: make(chan struct{}), updates: make(chan update), wake: make(chan struct{}, 1),
	}
	if b.rand == nil {
		b.rand = rand.Uint64
	} else {
		b.seed = b.rand()
	}
	if b.config.Policy == nil {
		b.config.Policy = PeakEWMA(0)
	}
	if b.config.DrainTimeout == 0 {
		b.config.DrainTimeout = 30 * time.Second
	}
	b.config.Health = config.Health.withDefaults()
	b.loop.members = map[resolve.ID]*member[T]{}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.drains.init()
	b.running.Go(func() { b.run(ctx) })
	b.running.Go(func() { b.watch(ctx) })
	return b, nil
}

// Checkout is an endpoint's value for the time of one call. Call Done once, whether
// the call succeeds or fails. It must not be copied.
type Checkout[T any] struct {
	// Value is what Config.Open made for the endpoint.
	Value T
	// Node is the endpoint. Add it to Request.Tried for the next attempt.
	Node *Node

	b     *Balancer[T]
	m     *member[T]
	start int64 // 0: the time is not taken
	decay int64
	out   bool // the node was out when it was picked
	trial bool // and the call is to try it
}

// Pick returns the value of the endpoint that suits the call. It waits only for
// the first set of endpoints, until ctx ends. The error is an *[Error], also if the
// resolver has reported only errors.
func (b *Balancer[T]) Pick(ctx context.Context, r Request) (Checkout[T], error) {
	if v := b.view.Load(); v != nil && v.only != nil {
		if value := v.only.value.Load(); value != nil && v.only.begin() {
			n := &v.only.Node
			return Checkout[T]{Value: *value, Node: n, b: b, m: v.only, out: n.flags.Load()&flagOut != 0}, nil
		}
	}
	return b.pick(ctx, r)
}

// pick is Pick where there is a choice, or something to be made.
func (b *Balancer[T]) pick(ctx context.Context, r Request) (Checkout[T], error) {
	for tries := 0; ; {
		v := b.view.Load()
		if v == nil {
			if err := b.first(ctx); err != nil {
				return Checkout[T]{}, err
			}
			continue
		}
		if v.picker == nil {
			return Checkout[T]{}, b.none(v)
		}
		l := Checkout[T]{b: b, m: v.only}
		if v.only == nil {
			r.random = b.rand()
			if l.decay = v.decay; v.decay > 0 && b.sampler.due(r.random) {
				r.now = b.now()
				b.sampler.took(r.now)
			}
			n := b.choose(v, r, &l)
			if n == nil {
				return Checkout[T]{}, b.none(v)
			}
			l.m = n.owner.(*member[T])
			if l.start = r.now; l.start == 0 && v.decay > 0 && n.latency.Load() == 0 {
				l.start = b.now()
			}
		}
		l.Node = &l.m.Node
		l.out = l.Node.flags.Load()&flagOut != 0
		if !l.m.begin() {
			continue // the view is a new one by now
		}
		err := l.open()
		if err == nil {
			return l, nil
		}
		if l.Node.gone.Load() {
			continue // it was removed meanwhile
		}
		if tries++; tries == 4 || v.only != nil {
			return Checkout[T]{}, &Error{err}
		}
		r.Tried.Add(l.Node)
	}
}

// Known reports whether a set of endpoints is known, so that Pick does not wait.
func (b *Balancer[T]) Known() bool { return b.view.Load() != nil }

// open sets Value, or ends the checkout.
func (l *Checkout[T]) open() (err error) {
	if v := l.m.value.Load(); v != nil {
		l.Value = *v
		return nil
	}
	if l.Value, err = l.m.open(l.b.config.Open); err == nil {
		return nil
	}
	l.Node.streak.Store(max(l.Node.streak.Load(), int64(l.b.config.Health.Failures)))
	l.Done(Outcome{Result: Failure})
	return err
}

// choose returns a node that may be picked, or nil.
func (b *Balancer[T]) choose(v *view[T], r Request, l *Checkout[T]) (n *Node) {
	if o := b.offer.Load(); o != nil && b.take(o, r) {
		l.trial = true
		return o.node
	}
	for again := 0; ; again++ {
		if n = v.picker.Pick(r); n == nil || n.flags.Load() == 0 || again == 3 || b.fit(v, n, r) {
			return n
		}
		r.Tried.Add(n)
		r.random = mix(r.random)
	}
}

// fit decides about a node with flags: one that is out is not used, and one in
// its slow start only now and then.
func (b *Balancer[T]) fit(v *view[T], n *Node, r Request) bool {
	flags := n.flags.Load()
	if flags&flagOut != 0 {
		return v.panic
	}
	if flags&flagWarming == 0 || v.sticky && r.Key != "" {
		return true
	}
	left := float64(n.warmEnd.Load()-b.now()) / float64(b.config.Health.SlowStart)
	return float64(mix(r.random)>>11)/(1<<53) >= min(left, 0.9)
}

// take claims the first node on offer for a call that is to try it.
func (b *Balancer[T]) take(o *offer, r Request) bool {
	if r.Tried.Has(o.node) || !r.Idempotent && b.now() < o.anyAfter {
		return false
	}
	return b.offer.CompareAndSwap(o, o.next) && !o.node.gone.Load()
}

// first waits for the first view.
func (b *Balancer[T]) first(ctx context.Context) error {
	select {
	case <-b.known:
		return nil
	case <-ctx.Done():
		return &Error{context.Cause(ctx)}
	}
}

// none is the error of a Pick that has found no node.
func (b *Balancer[T]) none(v *view[T]) error {
	if !v.closed {
		b.refresh()
	}
	if v.err == nil {
		return &Error{ErrNoEndpoints}
	}
	return v.err
}

func (b *Balancer[T]) refresh() {
	if r, ok := b.config.Resolver.(resolve.Refresher); ok {
		contain.Log("Refresh of a resolver", r.Refresh)
	}
}

// now is the time since just before the balancer was made. It is never 0.
func (b *Balancer[T]) now() int64 { return int64(time.Since(b.base)) }

// Done ends the call and tells how it went. Only the first Done of a checkout
// counts.
func (l *Checkout[T]) Done(o Outcome) {
	m := l.m
	if m == nil {
		return
	}
	l.m = nil
	n := &m.Node
	if o.Result == Success && n.flags.Load()&flagOut == 0 && o.RetryAfter <= 0 {
		n.good.Add(1)
		if n.streak.Load() != 0 {
			n.streak.Store(0)
		}
		if l.start != 0 {
			now := l.b.now()
			n.observe(now-l.start, now, l.decay)
		}
	} else {
		l.unusual(n, o)
	}
	m.ended()
}

// unusual takes an outcome that may change the node's state.
func (l *Checkout[T]) unusual(n *Node, o Outcome) {
	b := l.b
	now := b.now()
	if o.Result != Success {
		defer n.other.Add(1)
	}
	switch o.Result {
	case Success:
		n.good.Add(1)
		n.streak.Store(0)
		if l.start != 0 {
			n.observe(now-l.start, now, l.decay)
		}
	case Failure:
		n.bad.Add(1)
		n.failedAt.Store(now)
		if streak := n.streak.Add(1); b.config.Health.Failures > 0 && streak >= int64(b.config.Health.Failures) && n.setFlag(flagOut) {
			b.tell(event{node: n, what: failedInARow})
		}
		if l.start != 0 && now-l.start > int64(n.Latency()) {
			n.observe(now-l.start, now, l.decay) // slow to fail is slow; fast to fail is not fast
		}
		if b.config.Health.Rate > 0 && !b.armed.Swap(true) {
			b.poke()
		}
	case Overloaded:
		b.refused.Add(1)
		n.press(now)
		n.streak.Store(0) // it has replied
	case Goodbye:
		if n.setFlag(flagOut) {
			b.tell(event{node: n, what: saidGoodbye})
		}
	}
	wait := min(o.RetryAfter, time.Minute)
	if wait > 0 && n.setFlag(flagOut) {
		b.tell(event{node: n, what: askedForQuiet, wait: wait})
	}
	if l.trial || l.out && (o.Result == Success || o.Result == Overloaded) {
		b.tell(event{node: n, what: wasTried, trial: l.trial, result: o.Result, wait: wait})
	}
}

// tell gives the loop an event.
func (b *Balancer[T]) tell(e event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	b.poke()
}

// poke makes the loop look at what has changed.
func (b *Balancer[T]) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
