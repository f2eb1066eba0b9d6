package balance

import (
	"math"
	"time"
)

// LeastInFlight is a [Policy] that takes the one of two random endpoints that
// has fewer calls in flight, for its weight.
func LeastInFlight(nodes []*Node) Picker { return newTwo(nodes, 0) }

// PeakEWMA returns a [Policy] that takes the one of two random endpoints whose
// latency times calls in flight is lower, for its weight. The latency is a moving
// average that rises at once and falls within decay. Zero means 500
// milliseconds. It is the default policy.
//
// A difference of less than a quarter does not count, so that endpoints that are
// about as fast as each other get about the same number of calls.
//
// One call in 256 takes the other endpoint of the two. So every endpoint is
// measured from time to time, also one that was slow before.
func PeakEWMA(decay time.Duration) Policy {
	if decay <= 0 {
		decay = 500 * time.Millisecond
	}
	return func(nodes []*Node) Picker { return newTwo(nodes, decay) }
}

// two takes the better of two random nodes.
type two struct {
	nodes  []*Node
	weight []float64 // relative to their mean; nil: all the same
	table  alias     // by weight, if they differ
	decay  int64     // of the latency; 0: only calls in flight count
}

// unmeasured is the latency of a node in use that has not been measured yet:
// until it is, it gets one call at a time where others do better.
const unmeasured = float64(time.Second)

// tolerance is how much more a node may cost than another and still count as its
// equal. Without it a node that is slower by a hair would lose every comparison
// while there are few calls.
const tolerance = 1.25

// penalty is how much more a node costs that has just failed. A node that fails
// at once has few calls in flight and would draw the traffic otherwise.
const penalty = 64

func newTwo(nodes []*Node, decay time.Duration) *two {
	p := &two{nodes: nodes, weight: weights(nodes), decay: int64(decay)}
	if p.weight != nil {
		p.table = newAlias(p.weight)
		sum := 0.0
		for _, w := range p.weight {
			sum += w
		}
		for i := range p.weight {
			p.weight[i] *= float64(len(nodes)) / sum
		}
	}
	return p
}

func (p *two) measures() int64 { return p.decay }

func (p *two) Pick(r Request) *Node {
	i, j := p.pair(r.random)
	a, b := p.nodes[i], p.nodes[j]
	if !r.Tried.Empty() {
		if n, done := p.avoid(r, a, b); done {
			return n
		}
	}
	if i == j {
		return a
	}
	explore := p.decay > 0 && r.random&0xff == 0
	if p.less(a, b, i, j, r.now) != explore {
		return a
	}
	return b
}

// pair returns two indexes, different if there are two nodes.
func (p *two) pair(random uint64) (i, j int) {
	n := uint64(len(p.nodes))
	if p.table != nil {
		i = p.table.at(random)
		if j = p.table.at(mix(random)); i != j {
			return i, j
		}
	} else {
		i = int(random >> 36 * n >> 28) // the upper 28 bits
	}
	if n == 1 {
		return i, i
	}
	if j = int(random >> 8 & (1<<28 - 1) * (n - 1) >> 28); j >= i {
		j++
	}
	return i, j
}

// avoid chooses where one of the two has been tried, if it can.
func (p *two) avoid(r Request, a, b *Node) (n *Node, done bool) {
	switch triedA, triedB := r.Tried.Has(a), r.Tried.Has(b); {
	case triedA && triedB:
		n = untried(p.nodes, int(mix(r.random)%uint64(len(p.nodes))), r.Tried)
		return n, n != nil
	case triedA:
		return b, true
	case triedB:
		return a, true
	}
	return nil, false
}

// less reports whether a call to a costs no more than one to b. The weight has
// had its part in drawing the two; here it only makes calls in flight lighter.
func (p *two) less(a, b *Node, i, j int, now int64) bool {
	x, y := a.load(), b.load()
	if p.weight != nil {
		x, y = x/p.weight[i], y/p.weight[j]
	}
	if p.decay > 0 {
		x, y = p.cost(a, x, now), tolerance*p.cost(b, y, now)
	}
	if a.streak.Load() > 0 && a.failing() {
		x = x*penalty + penalty
	}
	if b.streak.Load() > 0 && b.failing() {
		y = y*penalty + penalty
	}
	return x <= y
}

// cost is the latency to expect from a node. An average that has not been
// updated for a while falls, twenty times slower than with calls, so that a node
// that nobody calls is called again some day.
func (p *two) cost(n *Node, inFlight float64, now int64) float64 {
	latency := math.Float64frombits(n.latency.Load())
	if latency == 0 {
		return inFlight * unmeasured
	}
	if idle := now - n.measured.Load(); idle > p.decay {
		latency *= math.Exp(-float64(idle) / float64(20*p.decay))
	}
	return latency * (inFlight + 1)
}
