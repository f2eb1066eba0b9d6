package balance

import (
	"cmp"
	"slices"
)

// tier is one level of preference: the nodes of one priority that are in this
// process's zone, or those that are not.
type tier struct {
	picker Picker
	below  uint64 // the level is used for random numbers up to this one
	spill  int    // Config.SpillAbove
}

// tiers chooses among levels: each gets calls as far as those before it have too
// few nodes available.
type tiers []tier

// level says how preferred a node is: lower is better.
type level struct {
	priority int
	far      bool // in another zone than this process
}

func (l level) compare(o level) int {
	if c := cmp.Compare(l.priority, o.priority); c != 0 || l.far == o.far {
		return c
	}
	if l.far {
		return 1
	}
	return -1
}

func levelOf(n *Node, zone string) level {
	e := n.endpoint.Load()
	return level{e.Priority, zone != "" && e.Zone != zone}
}

// enough is how many times its share of the load a level's available nodes may
// carry before the next level takes a part: with 1.4, up to two sevenths of them
// may be missing.
const enough = 1.4

// newPicker makes the picker for the nodes of a set of which those that usable
// reports are available, or nil if none is.
func newPicker(nodes []*Node, usable func(*Node) bool, policy Policy, zone string, spill int) Picker {
	type group struct {
		level
		all, use []*Node
	}
	var groups []*group
	byLevel := map[level]*group{}
	for _, n := range nodes {
		l := levelOf(n, zone)
		g := byLevel[l]
		if g == nil {
			g = &group{level: l}
			byLevel[l] = g
			groups = append(groups, g)
		}
		g.all = append(g.all, n)
		if usable(n) {
			g.use = append(g.use, n)
		}
	}
	slices.SortFunc(groups, func(a, b *group) int { return a.level.compare(b.level) })
	var levels tiers
	total := 0.0
	for _, g := range groups {
		if len(g.use) == 0 {
			continue
		}
		total += min(1, enough*float64(len(g.use))/float64(len(g.all)))
		levels = append(levels, tier{picker: policy(g.use), below: part(total), spill: spill})
	}
	if len(levels) == 0 {
		return nil
	}
	if len(levels) == 1 {
		return levels[0].picker
	}
	if total < 1 { // all levels together have too few: in proportion
		at := 0.0
		i := 0
		for _, g := range groups {
			if len(g.use) > 0 {
				at += min(1, enough*float64(len(g.use))/float64(len(g.all)))
				levels[i].below = part(at / total)
				i++
			}
		}
	}
	return levels
}

// part is the number up to which the part x of all random numbers lies.
func part(x float64) uint64 {
	if x >= 1-1e-9 {
		return ^uint64(0)
	}
	return uint64(x * (1 << 63) * 2)
}

func (t tiers) measures() int64 {
	for _, l := range t {
		if m, ok := l.picker.(interface{ measures() int64 }); ok {
			return m.measures()
		}
	}
	return 0
}

// Pick takes the level that the random number falls to, and goes on from there
// where it has nothing left to try or, under Config.SpillAbove, too much to do.
func (t tiers) Pick(r Request) *Node {
	x := mix(r.random ^ golden)
	first := 0
	for first < len(t)-1 && x > t[first].below {
		first++
	}
	var busy, tried *Node
	for i := range t {
		l := &t[(first+i)%len(t)]
		n := l.picker.Pick(r)
		switch {
		case n == nil:
		case r.Tried.Has(n):
			if tried == nil {
				tried = n
			}
		case l.spill > 0 && n.InFlight() >= l.spill*int(max(n.endpoint.Load().Weight, 1)):
			if busy == nil {
				busy = n
			}
		default:
			return n
		}
	}
	if busy != nil {
		return busy
	}
	return tried
}
