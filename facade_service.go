package gtcp

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// ConfigureResolver makes addr stand for a service of several servers. From then
// on NewPoolConn(addr) returns a connection to one of the servers that r reports,
// chosen by policy. A server that cannot be reached is left out for a while, and
// NewPoolConn tries up to 3 servers within its timeout. addr can be any text.
//
// A nil policy means [balance.LeastInFlight]: of two servers chosen at random, the
// one with fewer connections in use. The options of ConfigurePools for addr apply
// to each server.
//
// A nil r ends this: addr is a plain address again. An earlier resolver of addr is
// replaced: idle connections are closed, those in use when they are released.
func ConfigureResolver(addr string, r resolve.Resolver, policy balance.Policy) error {
	return pools.resolve(addr, r, policy)
}

// service is a set of servers behind one address.
type service struct {
	resolver resolve.Resolver
	policy   balance.Policy
	servers  *balance.Balancer[*addressPool]
}

// maxServersTried is how many servers NewPoolConn tries.
const maxServersTried = 3

// errServiceReplaced says that a service was replaced under its caller.
var errServiceReplaced = errors.New("the service was replaced")

func (r *registry) resolve(addr string, resolver resolve.Resolver, policy balance.Policy) error {
	old, err := r.swap(addr, resolver, policy)
	if old != nil {
		old.close()
	}
	return err
}

// swap puts a service with resolver in the place of what addr was, or takes the
// service away. It returns the service that was there.
func (r *registry) swap(addr string, resolver resolve.Resolver, policy balance.Policy) (*service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, _ := r.byAddr.Load(addr)
	old, _ := v.(*service)
	switch {
	case resolver != nil:
		next, err := r.newServiceLocked(addr, resolver, policy)
		if err != nil {
			return nil, err
		}
		r.byAddr.Store(addr, next)
		if p, plain := v.(*addressPool); plain {
			r.retireLocked(p)
		}
	case old != nil:
		r.byAddr.Delete(addr)
	}
	return old, nil
}

func (r *registry) newServiceLocked(addr string, resolver resolve.Resolver, policy balance.Policy) (*service, error) {
	options := r.optionsLocked(addr)
	s := &service{resolver: resolver, policy: policy}
	if policy == nil {
		policy = balance.LeastInFlight
	}
	var err error
	s.servers, err = balance.New(balance.Config[*addressPool]{
		Resolver:     resolver,
		Policy:       policy,
		DrainTimeout: -1, // a pool that is retired waits for its connections itself
		Open: func(e resolve.Endpoint) (*addressPool, error) {
			p, err := newAddressPool(e.Network, e.Addr, options)
			if err == nil {
				r.totals.add(p)
			}
			return p, err
		},
		Close: func(_ context.Context, p *addressPool) error {
			r.retire(p)
			return nil
		},
	})
	return s, err
}

// close ends the service; connections in use stay so.
func (s *service) close() { _ = s.servers.Close() }

// get takes a connection to one of the servers within the dial timeout.
func (s *service) get(timeout []time.Duration) (*pool.Conn, terms, error) {
	ctx, cancel, limit := dialContext(timeout)
	defer cancel()
	if limit == 0 {
		ctx, cancel = context.WithTimeout(ctx, maxDialTimeout)
		defer cancel()
	}
	var tried balance.Tried
	var last error
	for left := maxServersTried; left > 0; left-- {
		pick, err := s.servers.Pick(ctx, balance.Request{Tried: tried})
		switch {
		case errors.Is(err, balance.ErrClosed):
			return nil, terms{}, errServiceReplaced
		case err != nil && last != nil:
			return nil, terms{}, last
		case err != nil:
			return nil, terms{}, describe(err, "no server")
		case tried.Has(pick.Node):
			pick.Done(balance.Outcome{Result: balance.Ignored})
			return nil, terms{}, last // there is no other
		}
		tried.Add(pick.Node)
		c, t, err := s.try(ctx, &pick, left, limit)
		if err == nil {
			t.pick = &pick
			return c, t, nil
		}
		last = err
	}
	return nil, terms{}, last
}

// try takes a connection to the server picked, within its share of the time.
func (s *service) try(ctx context.Context, pick *balance.Checkout[*addressPool], left int, limit time.Duration) (*pool.Conn, terms, error) {
	if by, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(by)/time.Duration(left))
		defer cancel()
	}
	c, t, err := pick.Value.getWithin(ctx, limit)
	switch {
	case err == nil:
	case errors.Is(err, pool.ErrClosed):
		pick.Done(balance.Outcome{Result: balance.Ignored}) // removed a moment ago
	default:
		pick.Done(balance.Classify(err))
	}
	return c, t, err
}

// list returns the pools of the servers that were used.
func (s *service) list(addr string) (all []PoolInfo) {
	for node, p := range s.servers.Nodes() {
		if node.Opened {
			all = append(all, PoolInfo{Addr: p.addr, Service: addr, Stat: p.pool.Stat(), Pool: p.pool})
		}
	}
	return all
}

// outcome says what the checkout, which ends, tells of its server.
func (k *checkout) outcome(c *conn.Conn) balance.Outcome {
	if k.unreachable.Load() {
		return balance.Outcome{Result: balance.Failure}
	}
	received := c.BytesRead() > k.received
	switch err := c.Err(); {
	case err == nil:
		// A timeout alone says nothing, for programs poll with timeouts. One
		// of a request does.
		if errors.Is(c.Reusable(), conn.ErrUnfit) && k.lastSend.Load() == c.BytesRead()+1 {
			return balance.Outcome{Result: balance.Failure}
		}
		return balance.Outcome{}
	case errors.Is(err, io.EOF) && received:
		return balance.Outcome{} // a server that closes after its reply
	case errors.Is(err, net.ErrClosed), k.reused && !received:
		return balance.Outcome{Result: balance.Ignored} // closed here, or dead since it was idle
	}
	return balance.Outcome{Result: balance.Failure}
}
