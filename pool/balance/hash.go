package balance

import (
	"math"
	"sync/atomic"
)

// Hash returns a [Policy] that sends calls with the same [Request.Key] to the
// same endpoint. When an endpoint comes or goes, only the keys that it gets or
// had move. Keys are spread by weight.
//
// An endpoint is full if it has more than load times the average calls in
// flight, and at least 2. A call for a full endpoint goes to the next endpoint
// for its key. So a popular key cannot overload an endpoint. Zero means 1.25;
// negative means no bound. A call without a key goes to a random endpoint.
func Hash(load float64) Policy {
	if load == 0 || load > 0 && load < 1 || math.IsNaN(load) {
		load = 1.25
	}
	return func(nodes []*Node) Picker {
		return &hashed{nodes: nodes, weight: weights(nodes), load: load, owners: make([]atomic.Int32, hashSlots)}
	}
}

// hashSlots is how many groups the keys fall into. A group has one order of
// nodes, found by rendezvous hashing; the first of it is remembered.
const hashSlots = 1 << 16

type hashed struct {
	nodes   []*Node
	weight  []float64 // nil: all the same
	load    float64
	owners  []atomic.Int32 // of each slot, the index of its first node plus 1; 0: not known yet
	average atomic.Uint64  // calls in flight per unit of weight, a float64
}

func (p *hashed) sticky() {}

func (p *hashed) Pick(r Request) *Node {
	slot := r.random
	if r.Key != "" {
		slot = mix(hashString(r.Key))
	}
	slot &= hashSlots - 1
	i := p.owner(slot)
	n := p.nodes[i]
	if r.random&63 == 0 {
		p.measure()
	}
	tried := !r.Tried.Empty() && r.Tried.Has(n)
	if !tried && (p.load < 0 || !p.over(i)) {
		return n
	}
	p.measure()
	if !tried && !p.over(i) {
		return n
	}
	if next := p.best(slot, func(i int) bool { return !r.Tried.Has(p.nodes[i]) && (p.load < 0 || !p.over(i)) }); next >= 0 {
		return p.nodes[next]
	}
	if next := p.best(slot, func(i int) bool { return !r.Tried.Has(p.nodes[i]) }); next >= 0 {
		return p.nodes[next]
	}
	return n
}

// owner returns the index of the first node of a slot.
func (p *hashed) owner(slot uint64) int {
	if i := p.owners[slot].Load(); i != 0 {
		return int(i) - 1
	}
	i := p.best(slot, func(int) bool { return true })
	p.owners[slot].Store(int32(i) + 1)
	return i
}

// best returns the index of the node with the highest score for the slot among
// those that are fit, or -1.
func (p *hashed) best(slot uint64, fit func(int) bool) int {
	seed := mix(slot)
	best, most := -1, math.Inf(-1)
	for i, n := range p.nodes {
		u := mix(n.hash ^ seed)
		score := float64(u)
		if p.weight != nil { // the highest of w/-ln(x), x in (0, 1)
			x := (float64(u>>11) + 0.5) / (1 << 53)
			if p.weight[i] <= most*(1-x) {
				continue // -ln(x) is at least 1-x: no need to take the logarithm
			}
			score = -p.weight[i] / math.Log(x)
		}
		if score > most && fit(i) {
			best, most = i, score
		}
	}
	return best
}

// over reports whether one more call is too much for node i.
func (p *hashed) over(i int) bool {
	have := float64(p.nodes[i].inFlight())
	w := 1.0
	if p.weight != nil {
		w = p.weight[i]
	}
	return have >= 2 && have+1 > math.Ceil(p.load*w*math.Float64frombits(p.average.Load()))
}

// measure brings the average up to date.
func (p *hashed) measure() {
	calls, sum := 1.0, 0.0
	for i, n := range p.nodes {
		calls += float64(n.inFlight())
		if p.weight != nil {
			sum += p.weight[i]
		} else {
			sum++
		}
	}
	p.average.Store(math.Float64bits(calls / sum))
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
