package balance

import (
	"math/bits"
	"sync/atomic"
)

// RoundRobin is a [Policy] that takes the endpoints in turn and ignores their
// weights.
func RoundRobin(nodes []*Node) Picker { return &roundRobin{nodes: nodes} }

type roundRobin struct {
	nodes []*Node
	next  atomic.Uint64
}

func (p *roundRobin) Pick(r Request) *Node {
	i := int(p.next.Add(1) % uint64(len(p.nodes)))
	n := p.nodes[i]
	if !r.Tried.Empty() && r.Tried.Has(n) {
		if other := untried(p.nodes, i, r.Tried); other != nil {
			return other
		}
	}
	return n
}

// Weighted is a [Policy] that takes the endpoints in turn, each as often as its
// weight says, and spreads the turns of each evenly.
func Weighted(nodes []*Node) Picker {
	w := weights(nodes)
	if w == nil {
		return RoundRobin(nodes)
	}
	return &weighted{nodes: nodes, table: newAlias(w)}
}

// weighted walks the unit interval in steps of the golden ratio, which fill any
// part of it as evenly as a sequence can, and maps it to the nodes.
type weighted struct {
	nodes []*Node
	table alias
	next  atomic.Uint64
}

const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio

func (p *weighted) Pick(r Request) *Node {
	i := p.table.at(p.next.Add(1) * golden)
	n := p.nodes[i]
	if !r.Tried.Empty() && r.Tried.Has(n) {
		if other := untried(p.nodes, i, r.Tried); other != nil {
			return other
		}
	}
	return n
}

// alias maps a number, uniform in 64 bits, to an index with a chance in
// proportion to its weight, in constant time (Walker's alias method): each slot
// belongs to its own index up to a limit, and to another one above.
type alias []slot

type slot struct {
	limit uint64 // of 64 bits
	other uint32
}

func newAlias(w []float64) alias {
	sum := 0.0
	for _, x := range w {
		sum += x
	}
	t := make(alias, len(w))
	share := make([]float64, len(w)) // in slots
	var small, large []int
	for i, x := range w {
		share[i] = x / sum * float64(len(w))
		t[i] = slot{^uint64(0), uint32(i)}
		if share[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		t[s] = slot{uint64(share[s] * (1 << 63) * 2), uint32(l)}
		share[l] -= 1 - share[s]
		if share[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return t
}

func (t alias) at(x uint64) int {
	i, rest := bits.Mul64(x, uint64(len(t)))
	if s := &t[i]; rest >= s.limit {
		return int(s.other)
	}
	return int(i)
}
