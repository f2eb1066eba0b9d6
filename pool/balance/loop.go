package balance

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// The balancer's goroutine owns the set and the health of its nodes. Everybody
// else tells it what happened, and reads the view that it makes.

// update is what the resolver reported, with the set in its normal form.
type update struct {
	set []resolve.Endpoint
	err error
}

// loop is the state of the balancer's goroutine.
type loop[T any] struct {
	members map[resolve.ID]*member[T]
	order   []*member[T] // by ID
	set     []resolve.Endpoint

	resolved time.Time
	failure  error

	dirty   bool  // the view is out of date
	out     int   // nodes that get no calls
	ejected int   // of these, for failing
	warming int   // nodes in slow start
	trials  int64 // calls done when the last early trial was offered
	judgeAt int64 // when rates are compared next; 0: not
}

// run is the balancer's goroutine.
func (b *Balancer[T]) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case u := <-b.updates:
			b.takeSet(u)
		case <-b.wake:
			b.takeEvents()
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		now := b.now()
		next := min(b.warm(now), b.judge(now), b.try(now))
		if b.loop.dirty {
			b.show()
		}
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(max(next-now, 1)))
		}
	}
}

const never = int64(1<<63 - 1)

// watch runs the resolver, and again after a while if it gives up.
func (b *Balancer[T]) watch(ctx context.Context) {
	send := func(u update) {
		select {
		case b.updates <- u:
		case <-ctx.Done():
		}
	}
	pause := time.Second
	for {
		reported := false
		var err error
		if panicked := contain.Call("Watch of a resolver", func() {
			err = b.config.Resolver.Watch(ctx, func(set []resolve.Endpoint, err error) {
				reported = reported || err == nil
				send(update{resolve.Normalize(set), err}) // a copy: the resolver may go on with its own
			})
		}); panicked != nil {
			err = panicked
		}
		switch {
		case ctx.Err() != nil, err == nil && reported:
			return
		case err == nil:
			err = errors.New("resolver ended without a set")
		}
		send(update{nil, err})
		if reported {
			pause = time.Second
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errEmptySet is kept as the resolver's failure when an empty set is not taken.
var errEmptySet = errors.New("resolver reported an empty set; the last one is kept")

// takeSet makes the set that of the resolver's report.
func (b *Balancer[T]) takeSet(u update) {
	l := &b.loop
	l.dirty = true
	if u.err != nil {
		l.failure = u.err
		return
	}
	l.resolved, l.failure = time.Now(), nil
	set := u.set
	if len(set) == 0 && len(l.members) > 0 && !b.config.AllowEmpty {
		l.failure = errEmptySet
		return
	}
	first := len(l.members) == 0
	set = b.subset(set)
	l.set = set
	wanted := make(map[resolve.ID]bool, len(set))
	for _, e := range set {
		id := e.ID()
		wanted[id] = true
		if m := l.members[id]; m != nil {
			m.endpoint.Store(&e)
			continue
		}
		m := b.newMember(id, e)
		l.members[id] = m
		state := Ready
		if !first {
			state = b.startSlowly(&m.Node)
		}
		b.change(&m.Node, state, "added")
	}
	var removed []*member[T]
	for _, m := range l.order {
		if id := m.endpoint.Load().ID(); !wanted[id] {
			delete(l.members, id)
			removed = append(removed, m)
		}
	}
	l.order = l.order[:0:0]
	for _, e := range set {
		l.order = append(l.order, l.members[e.ID()])
	}
	b.show()
	for _, m := range removed {
		b.remove(m)
	}
	if b.config.Warm {
		for _, m := range l.order {
			_, _ = m.open(b.config.Open) // the first pick hears of the error
		}
	}
}

// newMember makes the member for an endpoint that has not been in the set.
func (b *Balancer[T]) newMember(id resolve.ID, e resolve.Endpoint) *member[T] {
	m := &member[T]{drained: make(chan struct{})}
	m.base, m.owner, m.hash = b.base, m, mix(hashString(id.Network+"!"+id.Addr))
	m.endpoint.Store(&e)
	m.state.Store(int32(Removed))
	m.health.judgedAt = b.now()
	return m
}

// subset returns the part of the set that this balancer uses: of each priority
// and zone the endpoints with the lowest hashes under its seed. An endpoint that
// comes or goes changes one member at most.
func (b *Balancer[T]) subset(set []resolve.Endpoint) []resolve.Endpoint {
	k := b.config.Subset
	if k <= 0 || len(set) <= k {
		return set
	}
	type ranked struct {
		level
		rank uint64
		e    resolve.Endpoint
	}
	all := make([]ranked, len(set))
	for i, e := range set {
		all[i] = ranked{
			level{e.Priority, b.config.Zone != "" && e.Zone != b.config.Zone},
			mix(b.seed ^ hashString(e.Network+"!"+e.Addr)), e,
		}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(a.level.compare(b.level), cmp.Compare(a.rank, b.rank)) })
	var out []resolve.Endpoint
	taken := 0
	for i, r := range all {
		if i > 0 && r.level != all[i-1].level {
			taken = 0
		}
		if taken++; taken <= k {
			out = append(out, r.e)
		}
	}
	return resolve.Normalize(out)
}

// show makes the view that Pick works on.
func (b *Balancer[T]) show() {
	l := &b.loop
	l.dirty = false
	v := &view[T]{members: slices.Clone(l.order), resolved: l.resolved, failure: l.failure}
	total := len(v.members)
	v.panic = l.out == total || float64(l.ejected) > max(b.config.Health.MaxEjected, 0)*float64(total)
	switch {
	case total == 0 && l.failure != nil:
		v.err = &Error{l.failure}
	case total == 0 && l.resolved.IsZero():
		return // nothing has been reported
	case total == 0:
		v.err = &Error{ErrNoEndpoints}
	default:
		nodes := make([]*Node, total)
		for i, m := range v.members {
			nodes[i] = &m.Node
		}
		if err := contain.Call("Config.Policy of a balancer", func() { b.makePicker(v, nodes) }); err != nil {
			v.picker, v.err = nil, &Error{err}
		}
		if m, ok := v.picker.(interface{ measures() int64 }); ok {
			v.decay = m.measures()
		}
		_, v.sticky = v.picker.(interface{ sticky() })
		if total == 1 {
			v.only = v.members[0]
		}
	}
	if b.view.Swap(v) == nil {
		close(b.known)
	}
}

// makePicker makes the picker of a view of the nodes.
func (b *Balancer[T]) makePicker(v *view[T], nodes []*Node) {
	usable := func(n *Node) bool { return v.panic || n.flags.Load()&flagOut == 0 }
	v.picker = newPicker(nodes, usable, b.config.Policy, b.config.Zone, b.config.SpillAbove)
	if v.picker == nil { // a node went out since the loop has counted
		v.panic = true
		v.picker = newPicker(nodes, func(*Node) bool { return true }, b.config.Policy, b.config.Zone, b.config.SpillAbove)
	}
}
