package gtcp

import (
	"iter"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// ClientStat is a snapshot of a [Client]: its calls since it was made, and its
// connections now.
type ClientStat struct {
	// Shared is ClientConfig.Shared: it says which of Pool and Pipeline is used.
	Shared bool

	// Calls counts the calls that were begun.
	Calls uint64
	// Errors counts the calls that failed, by the kind of their error. The
	// keys are the Kind constants of package conn, and "resolve" where no
	// server is known. Kinds that have not occurred are missing.
	Errors map[string]uint64
	// Retries counts the attempts that were made after another had failed.
	Retries uint64
	// Hedges counts the attempts that were made beside another; see
	// CallOptions.Hedge.
	Hedges uint64

	// Pool is the pool of an exclusive client. With ClientConfig.Resolver it
	// is the sum over Endpoints. The counts of servers that were removed stay
	// in the sum, so they never fall.
	Pool pool.Stat
	// Pipeline is the pipeline of a shared client. With ClientConfig.Resolver
	// it is such a sum.
	Pipeline pipeline.Stat

	// Balance is the state of the set of servers, with ClientConfig.Resolver.
	Balance balance.Stat
	// Endpoints are the servers in use, with ClientConfig.Resolver.
	Endpoints []EndpointStat
}

// Stat returns a snapshot. It locks each connection for a moment. Calling it
// a few times a second has no measurable cost.
func (c *Client) Stat() (s ClientStat) {
	s.Shared = c.shared
	c.count.snapshot(&s)
	if c.set != nil {
		s.Balance = c.set.Stat()
		c.servers(&s)
		return s
	}
	c.one.stat(&s.Pool, &s.Pipeline)
	return s
}

// Pools returns the pools of an exclusive client, each with the address of its
// server. Use them to list the connections, to evict them or to resize a pool. Do
// not close a pool; its server would get no more calls.
func (c *Client) Pools() iter.Seq2[string, *pool.Pool] {
	return func(yield func(string, *pool.Pool) bool) {
		c.each(func(e *endpoint) bool { return e.pool == nil || yield(e.addr, e.pool) })
	}
}

// Pipelines returns the pipelines of a shared client, each with the address of its
// server. Do not close them.
func (c *Client) Pipelines() iter.Seq2[string, *pipeline.Pipeline] {
	return func(yield func(string, *pipeline.Pipeline) bool) {
		c.each(func(e *endpoint) bool { return e.pipeline == nil || yield(e.addr, e.pipeline) })
	}
}

// each calls f for each server that has been used, until f returns false.
func (c *Client) each(f func(*endpoint) bool) {
	if c.set == nil {
		f(&c.one)
		return
	}
	for node, e := range c.set.Nodes() {
		if node.Opened && !f(e) {
			return
		}
	}
}

// kinds are the keys of ClientStat.Errors. A kind that is not among them, from
// an error of the user's, counts as the last.
var kinds = [...]string{
	conn.KindRefused, conn.KindTimeout, conn.KindCanceled, conn.KindPeerClosed, conn.KindReset,
	conn.KindOverloaded, conn.KindDial, conn.KindProtocol, conn.KindApplication, conn.KindClosed, "resolve", conn.KindOther,
}

// clientCounters count what becomes of a client's calls.
type clientCounters struct {
	calls *callCounter
	rest  atomic.Pointer[failureCounters] // nil before the first
}

// callCounter has a cache line that nothing else is read from: all calls write it.
type callCounter struct {
	n atomic.Uint64
	_ [56]byte
}

// failureCounters count what follows a failure, or comes before one.
type failureCounters struct {
	retries atomic.Uint64
	hedges  atomic.Uint64
	errors  [len(kinds)]atomic.Uint64
}

// failures returns the counters of failures, and makes them if there are none.
func (c *clientCounters) failures() *failureCounters {
	if c.rest.Load() == nil {
		c.rest.CompareAndSwap(nil, new(failureCounters))
	}
	return c.rest.Load()
}

func (c *clientCounters) failed(err error) {
	kind, f := conn.KindOf(err), c.failures()
	for i, k := range kinds {
		if k == kind || i == len(kinds)-1 {
			f.errors[i].Add(1)
			return
		}
	}
}

func (c *clientCounters) snapshot(s *ClientStat) {
	s.Calls = c.calls.n.Load()
	f := c.rest.Load()
	if f == nil {
		return
	}
	s.Retries, s.Hedges = f.retries.Load(), f.hedges.Load()
	for i, kind := range kinds {
		n := f.errors[i].Load()
		if n == 0 {
			continue
		}
		if s.Errors == nil {
			s.Errors = make(map[string]uint64)
		}
		s.Errors[kind] = n
	}
}
