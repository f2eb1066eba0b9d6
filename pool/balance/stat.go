package balance

import (
	"iter"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Stat is a snapshot of a [Balancer].
type Stat struct {
	// Endpoints is the number of endpoints in use.
	Endpoints int
	// Available is how many of them get calls.
	Available int
	// Ejected is how many get no calls because they failed.
	Ejected int
	// Draining is how many removed endpoints still have calls in flight, or
	// are being closed.
	Draining int
	// Refused is how many calls endpoints have refused because they had too much
	// to do, those of endpoints that have left included. A call that was repeated
	// at another endpoint is counted too.
	Refused uint64
	// Panic says that too many endpoints are failing, so that all are used.
	Panic bool
	// Resolved is when the resolver last reported a set. It is zero if it
	// never has.
	Resolved time.Time
	// ResolveError is the error that the resolver has reported since, or nil.
	ResolveError error
}

// Stat returns a snapshot.
func (b *Balancer[T]) Stat() Stat {
	s := Stat{Draining: int(b.drains.left.Load()), Refused: b.refused.Load()}
	v := b.view.Load()
	if v == nil {
		return s
	}
	s.Endpoints, s.Panic, s.Resolved, s.ResolveError = len(v.members), v.panic && len(v.members) > 0, v.resolved, v.failure
	for _, m := range v.members {
		switch m.State() {
		case Ready, Warming:
			s.Available++
		case Ejected:
			s.Ejected++
		}
	}
	return s
}

// NodeStat is a snapshot of one endpoint.
type NodeStat struct {
	// Endpoint is the endpoint as the resolver last reported it.
	Endpoint resolve.Endpoint
	// State says whether it gets calls.
	State State
	// Since is when it came into this state.
	Since time.Time
	// InFlight is how many calls it has now.
	InFlight int
	// Succeeded is how many calls have succeeded.
	Succeeded uint64
	// Failed is how many calls have failed.
	Failed uint64
	// Refused is how many calls it has refused because it had too much to do.
	Refused uint64
	// Latency is the moving average of the time of a call. Zero means that the
	// policy does not measure it, or that there was no call.
	Latency time.Duration
	// Opened says that Config.Open has made a value.
	Opened bool
}

// Nodes returns the endpoints in use in the order of their addresses, each with
// its value, which is the zero T while NodeStat.Opened is false.
func (b *Balancer[T]) Nodes() iter.Seq2[NodeStat, T] {
	return func(yield func(NodeStat, T) bool) {
		v := b.view.Load()
		if v == nil {
			return
		}
		for _, m := range v.members {
			var value T
			opened := m.value.Load()
			if opened != nil {
				value = *opened
			}
			if !yield(m.stat(b.base, opened != nil), value) {
				return
			}
		}
	}
}

func (n *Node) stat(base time.Time, opened bool) NodeStat {
	return NodeStat{
		Endpoint: n.Endpoint(), State: n.State(), Since: base.Add(time.Duration(n.since.Load())), InFlight: n.InFlight(),
		Succeeded: n.good.Load(), Failed: n.bad.Load(), Refused: n.refused.Load(), Latency: n.Latency(), Opened: opened,
	}
}
