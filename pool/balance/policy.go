package balance

// Policy makes the picker for a set of nodes. It is called whenever the set of
// available nodes or a weight changes, and never with an empty set. The picker
// must not change the slice.
type Policy func(nodes []*Node) Picker

// Picker chooses one of the nodes it was made for. Pick is called from many
// goroutines at once, so what it changes must be atomic. It should prefer nodes
// that r.Tried does not have. Nil means that there is none.
type Picker interface {
	Pick(r Request) *Node
}

// Request describes a call to a [Picker]. The zero value is a call without a
// key.
type Request struct {
	// Key keeps calls together: [Hash] sends calls with the same key to the
	// same endpoint. Other policies ignore it. Empty means no key.
	Key string
	// Tried has the nodes that earlier attempts of the call have used.
	Tried Tried
	// Idempotent says that the call may be repeated if it fails. Such calls
	// are preferred for trying an endpoint that has been ejected.
	Idempotent bool

	random uint64
	now    int64 // 0 for pickers that do not want the time
}

// Rand returns 64 random bits, the same each time for one pick.
func (r Request) Rand() uint64 { return r.random }

// Tried is the set of the last three nodes that a call has used. The zero value
// is empty.
type Tried struct{ a, b, c *Node }

// Add puts n into the set, in place of the oldest if there are three.
func (t *Tried) Add(n *Node) { t.a, t.b, t.c = n, t.a, t.b }

// Has reports whether n is in the set.
func (t Tried) Has(n *Node) bool { return n == t.a || n == t.b || n == t.c }

// Empty reports whether nothing has been tried.
func (t Tried) Empty() bool { return t.a == nil }

// mix turns one random number into another (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// weights returns the weights of nodes, or nil if all are the same.
func weights(nodes []*Node) []float64 {
	w := make([]float64, len(nodes))
	same := true
	for i, n := range nodes {
		w[i] = float64(max(n.endpoint.Load().Weight, 1))
		same = same && w[i] == w[0]
	}
	if same {
		return nil
	}
	return w
}

// untried returns the first node that has not been tried, from the index on, or
// nil.
func untried(nodes []*Node, from int, t Tried) *Node {
	for i := range nodes {
		if from+i == len(nodes) {
			from = -i
		}
		if n := nodes[from+i]; !t.Has(n) {
			return n
		}
	}
	return nil
}
