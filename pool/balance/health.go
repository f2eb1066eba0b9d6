package balance

import (
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// health is what the balancer's goroutine knows of a node.
type health struct {
	level int   // ejections in a row
	until int64 // when a call may try the node that is out
	outAt int64 // when it went out, or was last tried
	quiet int64 // until when it has asked not to be called
	back  int64 // when it came back

	trying bool // a call tries it, or it is on offer

	// The counts at the begin of the period for which its rate is judged.
	judgedAt  int64
	good, bad uint64
}

// offer is a node that is out and waits for a call to try it. For a while only
// idempotent calls are taken.
type offer struct {
	node     *Node
	anyAfter int64
	next     *offer
}

// maxOffers is how many nodes are offered together, so that many that come back
// at the same time need not wait for each other.
const maxOffers = 64

// What an event tells.
type what uint8

const (
	failedInARow  what = iota // as often as Health.Failures says
	saidGoodbye               // the server is about to stop
	askedForQuiet             // for a time
	wasTried                  // a call that began when the node was out has ended
)

type event struct {
	node   *Node
	what   what
	wait   time.Duration
	trial  bool
	result Result
}

// Change is a change of an endpoint's state.
type Change struct {
	// Node is the endpoint.
	Node *Node
	// From is the state before. It is Removed for an endpoint that is new.
	From State
	// To is the state after.
	To State
	// Reason says why, in a word or two: "added", "removed", "failures in a
	// row", "failure rate", "goodbye", "retry after", "trial failed", "trial
	// succeeded", "slow start over".
	Reason string
}

// String is for a log: "10.0.0.7:80: ready to ejected, failures in a row". An
// endpoint that is new has no state before: "10.0.0.7:80: ready, added".
func (c Change) String() string {
	s := c.Reason
	switch {
	case c.From == Removed:
		s = fmt.Sprintf("%v, %s", c.To, c.Reason)
	case c.Reason != c.To.String():
		s = fmt.Sprintf("%v to %v, %s", c.From, c.To, c.Reason)
	}
	if c.Node == nil {
		return s
	}
	return c.Node.Endpoint().Addr + ": " + s
}

// earlyTrial is how many calls there are for one that tries a node before its
// time: at most 0.25 % of all calls fail for it.
const earlyTrial = 400

// anyCallAfter is how long a node on offer waits for an idempotent call.
const anyCallAfter = int64(time.Second)

// trialLost is after what time a call that tries a node is given up.
const trialLost = int64(30 * time.Second)

func (b *Balancer[T]) takeEvents() {
	b.mu.Lock()
	events := b.events
	b.events = nil
	b.mu.Unlock()
	now := b.now()
	for _, e := range events {
		if e.node.gone.Load() || b.loop.members[e.node.endpoint.Load().ID()] != e.node.owner {
			continue
		}
		switch e.what {
		case failedInARow:
			b.eject(e.node, now, "failures in a row")
		case saidGoodbye:
			b.putOut(e.node, Leaving, now, b.config.Health.EjectFor, "goodbye")
		case askedForQuiet:
			b.putOut(e.node, Quiet, now, e.wait, "retry after")
		case wasTried:
			b.settle(e, now)
		}
	}
}

// eject puts a node out for failing. One that has been back for long begins at
// the first level again.
func (b *Balancer[T]) eject(n *Node, now int64, reason string) {
	h := &n.health
	if b.config.Health.MaxEjected < 0 {
		b.stay(n)
		return
	}
	well := int((now - h.back) / int64(10*b.config.Health.EjectFor))
	h.level = max(h.level-well, 0) + 1
	b.putOut(n, Ejected, now, b.config.Health.ejectFor(h.level), reason)
	b.refresh()
}

// stay lets a node that was marked as out go on.
func (b *Balancer[T]) stay(n *Node) {
	n.streak.Store(0)
	n.clearFlag(flagOut)
}

// putOut takes a node out of the calls for a time. One that is out already for
// another reason stays so.
func (b *Balancer[T]) putOut(n *Node, to State, now int64, wait time.Duration, reason string) {
	if n.out() {
		return
	}
	l := &b.loop
	if n.clearFlag(flagWarming) {
		l.warming--
	}
	n.setFlag(flagOut)
	l.out++
	if to == Ejected {
		l.ejected++
	}
	h := &n.health
	h.outAt, h.quiet, h.until = now, 0, now+int64(wait)
	if to == Quiet {
		h.quiet = h.until
	}
	b.change(n, to, reason)
}

// out reports whether the loop counts the node as out.
func (n *Node) out() bool { s := n.State(); return s == Ejected || s == Quiet || s == Leaving }

// settle takes the end of a call to a node that was out.
func (b *Balancer[T]) settle(e event, now int64) {
	n, h := e.node, &e.node.health
	if e.trial {
		h.trying = false
	}
	if !n.out() {
		return
	}
	switch {
	case (e.result == Success || e.result == Overloaded) && e.wait == 0:
		b.bringBack(n, now)
	case e.result == Failure:
		h.level++
		h.outAt, h.quiet = now, now+int64(e.wait)
		h.until = max(h.quiet, now+int64(b.config.Health.ejectFor(h.level)))
		if n.State() != Ejected {
			b.loop.ejected++
			b.change(n, Ejected, "trial failed")
		}
	case e.wait > 0:
		h.outAt, h.quiet, h.until = now, now+int64(e.wait), now+int64(e.wait)
	case e.result == Goodbye:
		h.outAt, h.until = now, now+int64(b.config.Health.EjectFor)
	}
}

// bringBack gives a node calls again.
func (b *Balancer[T]) bringBack(n *Node, now int64) {
	l, h := &b.loop, &n.health
	l.out--
	if n.State() == Ejected {
		l.ejected--
	}
	h.back, h.judgedAt, h.good, h.bad = now, now, n.good.Load(), n.bad.Load()
	n.streak.Store(0)
	n.clearFlag(flagOut)
	b.change(n, b.startSlowly(n), "trial succeeded")
}

// startSlowly gives a node few calls at first, and returns the state it is then
// in.
func (b *Balancer[T]) startSlowly(n *Node) State {
	slow := b.config.Health.SlowStart
	if slow < 0 {
		return Ready
	}
	n.warmEnd.Store(b.now() + int64(slow))
	if n.setFlag(flagWarming) {
		b.loop.warming++
	}
	return Warming
}

// warm ends the slow start of nodes whose time it is, and returns when the next
// one ends.
func (b *Balancer[T]) warm(now int64) (next int64) {
	next = never
	if b.loop.warming == 0 {
		return next
	}
	for _, m := range b.loop.order {
		if m.flags.Load()&flagWarming == 0 {
			continue
		}
		if end := m.warmEnd.Load(); end > now {
			next = min(next, end)
			continue
		}
		m.clearFlag(flagWarming)
		b.loop.warming--
		b.change(&m.Node, Ready, "slow start over")
	}
	return next
}

// try offers the nodes that are out to the calls, as far as it is time for it,
// and returns when to look again.
func (b *Balancer[T]) try(now int64) (next int64) {
	l, c := &b.loop, &b.config.Health
	if l.out == 0 {
		b.offer.Store(nil)
		return never
	}
	next = now + int64(c.EjectFor)
	if b.offer.Load() != nil {
		return next // they wait for calls
	}
	var offers *offer
	var early *Node
	calls, n := int64(0), 0
	for _, m := range l.order {
		calls += int64(m.good.Load() + m.bad.Load())
		h := &m.health
		if h.trying && now-h.outAt > trialLost {
			h.trying = false
		}
		switch {
		case !m.out() || h.trying:
		case h.until > now:
			next = min(next, h.until)
			if m.State() == Ejected && h.quiet <= now && now-h.outAt >= int64(c.EjectFor) && (early == nil || h.outAt < early.health.outAt) {
				early = &m.Node
			}
		case n < maxOffers:
			n++
			offers = b.offered(&m.Node, now, offers)
		}
	}
	if offers == nil && early != nil && calls-l.trials >= earlyTrial {
		l.trials = calls
		offers = b.offered(early, now, nil)
	}
	b.offer.Store(offers)
	return next
}

func (b *Balancer[T]) offered(n *Node, now int64, next *offer) *offer {
	n.health.trying, n.health.outAt = true, now
	return &offer{n, now + anyCallAfter, next}
}

// judge compares the failure rates of the nodes, while there are failures, and
// returns when to do so again.
func (b *Balancer[T]) judge(now int64) (next int64) {
	l, c := &b.loop, &b.config.Health
	if !b.armed.Load() {
		return never
	}
	if l.judgeAt == 0 {
		l.judgeAt = now + judgeEvery
	}
	if now < l.judgeAt {
		return l.judgeAt
	}
	l.judgeAt = now + judgeEvery
	var good, bad uint64
	for _, m := range l.order {
		if m.State() <= Warming {
			good += m.good.Load() - m.health.good
			bad += m.bad.Load() - m.health.bad
		}
	}
	if bad == 0 {
		b.armed.Store(false)
		l.judgeAt = 0
		return never
	}
	for _, m := range l.order {
		h := &m.health
		g, f := m.good.Load()-h.good, m.bad.Load()-h.bad
		enough := g+f >= uint64(c.MinCalls)
		if m.State() <= Warming && enough && f > 0 && good+bad > g+f {
			rate := share(f, g)
			if others := share(bad-f, good-g); rate-others > c.Rate && rate > 2*others {
				b.eject(&m.Node, now, "failure rate")
			}
		}
		if enough || now-h.judgedAt > judgeWithin {
			h.judgedAt, h.good, h.bad = now, m.good.Load(), m.bad.Load()
		}
	}
	return l.judgeAt
}

const (
	judgeEvery  = int64(2 * time.Second)
	judgeWithin = int64(30 * time.Second)
)

func share(bad, good uint64) float64 { return float64(bad) / float64(max(bad+good, 1)) }

// change enters a state.
func (b *Balancer[T]) change(n *Node, to State, reason string) {
	from := State(n.state.Swap(int32(to)))
	n.since.Store(b.now())
	b.loop.dirty = true
	if b.config.OnChange != nil && from != to {
		contain.Log("Config.OnChange of a balancer", func() { b.config.OnChange(Change{n, from, to, reason}) })
	}
}
