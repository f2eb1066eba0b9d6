package gtcp

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// addressPool is the pool of one address.
type addressPool struct {
	addr     string
	pool     *pool.Pool
	bounded  bool
	probes   bool         // before a checkout
	patience atomic.Int64 // the longest dial timeout asked for so far
	used     atomic.Bool  // since the registry last looked

	oneWay
}

func newAddressPool(network, addr string, o PoolOptions) (*addressPool, error) {
	p := &addressPool{addr: addr, bounded: o.MaxConns > 0, probes: o.Probe}
	p.keepUnanswered = o.KeepUnanswered
	p.patience.Store(int64(defaultDialTimeout))
	connect := conn.Target{Network: network, Address: addr, Dialer: o.dialer()}
	// A prepared Target remembers which address of a name works. One that
	// cannot be prepared fails at each dial.
	if prepared, err := connect.Prepare(); err == nil {
		connect = prepared
	}
	target := conn.Target{Network: network, Address: addr, Dial: func(ctx context.Context) (net.Conn, error) {
		// The dial is made for the caller that waits longest: it outlives the
		// one that began it, and its connection then serves the next.
		ctx, cancel := context.WithTimeout(ctx, time.Duration(p.patience.Load()))
		defer cancel()
		c, err := connect.Connect(ctx)
		if err != nil {
			return nil, err
		}
		return c, nil
	}}
	var err error
	p.pool, err = pool.New(target, o.config())
	return p, err
}

// stat implements connections.
func (p *addressPool) stat(ofPool *pool.Stat, _ *pipeline.Stat) { *ofPool = p.pool.Stat() }

// get takes a connection within the caller's dial timeout.
func (p *addressPool) get(timeout []time.Duration) (*pool.Conn, terms, error) {
	if len(timeout) == 0 && !p.bounded && time.Duration(p.patience.Load()) == defaultDialTimeout {
		// The dial bounds itself and nothing else is waited for.
		c, err := p.pool.Get(context.Background())
		return c, terms{pool: p, dialTimeout: defaultDialTimeout}, err
	}
	ctx, cancel, limit := dialContext(timeout)
	defer cancel()
	return p.getWithin(ctx, limit)
}

// getWithin takes a connection before ctx ends; limit is the caller's dial
// timeout.
func (p *addressPool) getWithin(ctx context.Context, limit time.Duration) (*pool.Conn, terms, error) {
	patience := time.Duration(p.patience.Load())
	for want := asked(limit); want > patience; patience = time.Duration(p.patience.Load()) {
		p.patience.CompareAndSwap(int64(patience), int64(want))
	}
	c, err := p.pool.Get(ctx)
	return c, terms{pool: p, dialTimeout: limit}, err
}

// asked is the dial timeout that a limit asks for: zero asks for the longest.
func asked(limit time.Duration) time.Duration {
	if limit == 0 {
		return maxDialTimeout
	}
	return min(limit, maxDialTimeout)
}

// quiet says whether nothing is in the pool, nor wanted from it.
func (p *addressPool) quiet() bool {
	s := p.pool.Stat()
	return s.Open == 0 && s.Dialing == 0 && s.Waiting == 0
}
