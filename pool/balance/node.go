package balance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// State is whether an endpoint gets calls.
type State int32

// The states of an endpoint.
const (
	// Ready: the endpoint gets its share of the calls.
	Ready State = iota
	// Warming: the endpoint is new or back, and gets fewer calls for a while.
	Warming
	// Ejected: the endpoint has failed. It gets only single calls that try it.
	Ejected
	// Quiet: the endpoint has asked not to be called for a while.
	Quiet
	// Leaving: the endpoint has said goodbye.
	Leaving
	// Removed: the endpoint is not in the set any more.
	Removed
)

// String returns the name of the state in lower case.
func (s State) String() string {
	names := [...]string{"ready", "warming", "ejected", "quiet", "leaving", "removed"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// The reasons, besides its state, to look twice at a node that has been picked.
const (
	flagOut     = 1 << iota // not to be picked; the picker may not know yet
	flagWarming             // in slow start
)

// Node is an endpoint as a [Policy] sees it. Its methods may be called from many
// goroutines.
type Node struct {
	// What every call reads and writes.
	begun    atomic.Uint64 // calls; those not ended are in flight
	flags    atomic.Uint32
	gone     atomic.Bool   // removed; set after the pickers with the node are gone
	latency  atomic.Uint64 // peak EWMA in nanoseconds, the bits of a float64; 0: none yet
	measured atomic.Int64  // when latency was last updated
	good     atomic.Uint64 // calls that ended well
	other    atomic.Uint64 // calls that ended otherwise
	streak   atomic.Int64  // failures since the last success

	// What refusals, failures and changes write.
	refused  atomic.Uint64 // calls that it has refused because it had too much to do
	pressure atomic.Uint64 // how many of them lately, the bits of a float64; 0: none
	pressed  atomic.Int64  // when pressure was last updated
	bad      atomic.Uint64
	failedAt atomic.Int64 // the last failure
	warmEnd  atomic.Int64
	state    atomic.Int32
	since    atomic.Int64 // when state was entered
	endpoint atomic.Pointer[resolve.Endpoint]

	base  time.Time // of all times of the balancer
	owner any       // the *member
	hash  uint64    // of the ID

	health health // owned by the balancer's goroutine
}

// Endpoint returns the endpoint as the resolver last reported it.
func (n *Node) Endpoint() resolve.Endpoint { return *n.endpoint.Load() }

// InFlight returns how many calls have been given to the endpoint and are not
// done.
func (n *Node) InFlight() int { return int(n.inFlight()) }

// inFlight is InFlight. Of two counters the one that is read later is not too
// low, so it is never negative.
func (n *Node) inFlight() int64 {
	ended := n.good.Load() + n.other.Load()
	return int64(n.begun.Load() - ended)
}

// Latency returns the moving average of the time that calls took. A longer call
// raises it at once, and it falls slowly. Zero means that no call was measured.
// Only [PeakEWMA] measures calls.
func (n *Node) Latency() time.Duration {
	return time.Duration(math.Float64frombits(n.latency.Load()))
}

// State returns the state of the endpoint.
func (n *Node) State() State { return State(n.state.Load()) }

// now is the time on the clock of the balancer.
func (n *Node) now() int64 { return int64(time.Since(n.base)) }

// failing reports whether the endpoint has failed within the last second and
// not succeeded since. Pickers avoid it then. It is not kept longer: an endpoint
// that nobody looks at could not show that it is back.
func (n *Node) failing() bool {
	return n.streak.Load() > 0 && n.now()-n.failedAt.Load() < int64(time.Second)
}

// A refused call counts fully at first, and by 1/e of it after pressureDecay. More
// than maxPressure do not count, so that an endpoint has its share again within
// 4 seconds.
const (
	pressureDecay = float64(time.Second)
	maxPressure   = 32
)

// press notes that the endpoint has refused a call. Updates that race lose one of
// them, which does not matter.
func (n *Node) press(now int64) {
	n.refused.Add(1)
	n.pressure.Store(math.Float64bits(min(n.pressureAt(now)+1, maxPressure)))
	n.pressed.Store(now)
}

// pressureAt is how many calls the endpoint has refused lately.
func (n *Node) pressureAt(now int64) float64 {
	p := math.Float64frombits(n.pressure.Load())
	if p == 0 {
		return 0
	}
	if p *= math.Exp(-float64(now-n.pressed.Load()) / pressureDecay); p > 0.01 {
		return p
	}
	n.pressure.Store(0) // a pick need not look at the clock for it any more
	return 0
}

// load is how many calls the endpoint has to do, as far as this process knows. Each
// call that it has refused lately is one, and makes those in flight count that much
// more: an endpoint that refuses calls at once has few in flight and would draw the
// others.
func (n *Node) load() float64 {
	x := float64(n.inFlight())
	if n.pressure.Load() != 0 {
		p := n.pressureAt(n.now())
		x += p * (x + 1)
	}
	return x
}

// observe takes the duration of a call into the average. Updates that race lose
// one of them, which does not matter.
func (n *Node) observe(took, now, decay int64) {
	x, old := float64(max(took, 1)), math.Float64frombits(n.latency.Load())
	if x < old { // a peak counts at once, less only as time passes
		w := expNeg(float64(now-n.measured.Load()) / float64(decay))
		x = old*w + x*(1-w)
	}
	n.latency.Store(math.Float64bits(x))
	n.measured.Store(now)
}

// drained reports, for a call that has ended, whether it was the last one of a
// node that has been removed. The calls are counted once the node is known to be
// gone: of those that begin later, each sees that the node is gone and lets go of it.
func (n *Node) drained() bool { return n.gone.Load() && n.inFlight() == 0 }

// setFlag and clearFlag report whether they changed it.
func (n *Node) setFlag(flag uint32) bool   { return n.flags.Or(flag)&flag == 0 }
func (n *Node) clearFlag(flag uint32) bool { return n.flags.And(^flag)&flag != 0 }

// expNeg is e to the power of -x, to a thousandth where x is small.
func expNeg(x float64) float64 {
	if x > 0.1 {
		return math.Exp(-x)
	}
	return 1 - x + x*x/2
}

// sampler says which calls are timed: all of them up to some 10,000 a second,
// and fewer, down to one in 16, beyond that. Reading the clock twice costs more
// than all the rest of a pick.
type sampler struct {
	mask atomic.Uint64 // a call is timed if these bits of its random number are 0
	last atomic.Int64  // when the last call was timed
}

const (
	sampleFewer = int64(50 * time.Microsecond)  // the time between two is shorter: half as many
	sampleMore  = int64(200 * time.Microsecond) // longer: twice as many
	sampleBits  = 8                             // where the bits are: a picker hardly uses them
)

func (s *sampler) due(random uint64) bool { return random>>sampleBits&s.mask.Load() == 0 }

// took notes that a call is timed.
func (s *sampler) took(now int64) {
	between, mask := now-s.last.Swap(now), s.mask.Load()
	switch {
	case between < sampleFewer && mask < 15:
		s.mask.Store(mask<<1 | 1)
	case between > sampleMore && mask > 0:
		s.mask.Store(mask >> 1)
	}
}
