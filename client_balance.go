package gtcp

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// BalanceConfig says which server of a [Client] with a Resolver gets a call. The
// zero value prefers servers that reply fast and have few calls in progress,
// and leaves out those that fail.
type BalanceConfig struct {
	// Policy chooses among the servers that are available. Nil means
	// balance.PeakEWMA(0).
	Policy balance.Policy
	// Health says when a server gets no calls because it fails, and how it
	// comes back.
	Health balance.Health
	// Zone is the zone of this process. Servers of the same zone are
	// preferred. Empty means no preference.
	Zone string
	// SpillAbove lets calls go to the next priority or zone when the chosen
	// server has this many calls in progress, times its weight. Zero and
	// negative mean that only availability decides.
	SpillAbove int
	// Subset bounds the number of servers of each priority and zone that this
	// client uses. Zero and negative mean all of them.
	Subset int
	// Warm makes the pool of a server as soon as the server is known, so that
	// Pool.MinIdle connections are dialed before the first call.
	Warm bool
	// DrainTimeout bounds the wait for the calls in progress on a server that
	// has been removed. Zero means 30 s. Negative means not to wait.
	DrainTimeout time.Duration
	// AllowEmpty accepts an empty set of servers: then calls fail. If it is
	// false, an empty set keeps the last one.
	AllowEmpty bool
	// OnChange, if not nil, is called for each change of a server's state.
	// It must not block.
	OnChange func(balance.Change)
}

// balanced makes the balancer of a client with ClientConfig.Resolver. Each
// endpoint has a pool or a pipeline of its own, which dials when it is first
// used.
func (c *Client) balanced(config ClientConfig) (*balance.Balancer[*endpoint], error) {
	b := config.Balance
	c.totals = new(totals)
	return balance.New(balance.Config[*endpoint]{
		Resolver:     config.Resolver,
		Policy:       b.Policy,
		Health:       b.Health,
		Zone:         b.Zone,
		SpillAbove:   b.SpillAbove,
		Subset:       b.Subset,
		Warm:         b.Warm,
		DrainTimeout: b.DrainTimeout,
		AllowEmpty:   b.AllowEmpty,
		OnChange:     b.OnChange,
		Open: func(e resolve.Endpoint) (*endpoint, error) {
			target := config.Target
			target.Network, target.Address = e.Network, e.Addr
			opened := &endpoint{}
			if err := opened.open(c, &config, target); err != nil {
				return nil, err
			}
			c.totals.add(opened)
			return opened, nil
		},
		Close: func(ctx context.Context, e *endpoint) error {
			defer c.totals.remove(e)
			return e.shutdown(ctx)
		},
	})
}

// pick chooses the endpoint of an attempt: one that the call has not tried, if
// there is one.
func (c *Client) pick(ctx context.Context, r *run) (balance.Checkout[*endpoint], error) {
	checkout, err := c.set.Pick(ctx, balance.Request{Key: r.options.Key, Tried: r.tried, Idempotent: r.policy.Idempotent})
	if err != nil {
		return checkout, attemptError(c.addr, false, err)
	}
	r.tried.Add(checkout.Node)
	return checkout, nil
}

// firstOfSet makes the first attempt of a call, if it needs nothing but a server
// and a connection. A set of servers must be known.
func (c *Client) firstOfSet(ctx context.Context, limit *sharedDeadline, dst, request []byte, options *CallOptions) (reply []byte, tried balance.Tried, err error) {
	checkout, err := c.set.Pick(ctx, balance.Request{Key: options.Key, Idempotent: options.Idempotent || c.retry.Idempotent})
	if err != nil {
		return dst, tried, attemptError(c.addr, false, err)
	}
	tried.Add(checkout.Node)
	err = errPanicked
	defer func() { checkout.Done(verdict(err)) }()
	reply, err = checkout.Value.attempt(ctx, limit, dst, request)
	return reply, tried, err
}

// elsewhere is the backoff of a client of many servers: the first retry goes to
// another server, so it need not wait, nor for as long as the first one asks.
type elsewhere struct{}

// Delay implements retry.Backoff.
func (elsewhere) Delay(n int, last time.Duration, _ error) time.Duration {
	if n == 1 {
		return 0
	}
	return retry.Exponential{}.Delay(n-1, last, nil)
}

// verdict says what an attempt's error tells of its endpoint.
func verdict(err error) balance.Outcome {
	o := balance.Classify(err)
	if err != nil && errors.Is(err, pipeline.ErrGoodbye) {
		o.Result = balance.Goodbye
	}
	return o
}

// errPanicked stands for the error of an attempt that panicked, or ended its
// goroutine. It says nothing about the server.
var errPanicked = context.Canceled

// EndpointStat is a snapshot of one server of a [Client] with a Resolver.
type EndpointStat struct {
	// NodeStat is what the balancer knows of the server.
	balance.NodeStat
	// Pool is the pool of the server, for an exclusive client.
	Pool pool.Stat
	// Pipeline is the pipeline of the server, for a shared client.
	Pipeline pipeline.Stat
}

// servers lists the servers that are in use, and adds up the connections of all.
func (c *Client) servers(s *ClientStat) {
	s.Pool, s.Pipeline = c.totals.stat()
	for node, e := range c.set.Nodes() {
		one := EndpointStat{NodeStat: node}
		if node.Opened {
			e.stat(&one.Pool, &one.Pipeline)
		}
		s.Endpoints = append(s.Endpoints, one)
	}
}

// addStat adds the counts of a Stat to a sum. Of times that are no sums it
// takes the largest, and of errors the last.
func addStat[T any](sum *T, s T) {
	to, from := reflect.ValueOf(sum).Elem(), reflect.ValueOf(s)
	for i := range from.NumField() {
		addField(to.Field(i), from.Field(i), largest[from.Type().Field(i).Name])
	}
}

// largest are the fields that are no sums.
var largest = map[string]bool{"OldestWait": true, "HoldTime": true}

func addField(to, from reflect.Value, most bool) {
	switch {
	case from.CanInt() && most:
		to.SetInt(max(to.Int(), from.Int()))
	case from.CanInt():
		to.SetInt(to.Int() + from.Int())
	case from.CanUint():
		to.SetUint(to.Uint() + from.Uint())
	case from.Kind() == reflect.Bool:
		to.SetBool(to.Bool() || from.Bool())
	case from.Kind() == reflect.Array:
		for i := range from.Len() {
			addField(to.Index(i), from.Index(i), false)
		}
	case from.Type() == reflect.TypeFor[time.Time]():
		if from.Interface().(time.Time).After(to.Interface().(time.Time)) {
			to.Set(from)
		}
	case !from.IsZero():
		to.Set(from)
	}
}

// validateResolver checks the fields of a client of many servers.
func (c ClientConfig) validateResolver() error {
	switch t := c.Target; {
	case t.Address != "":
		return &conn.ConfigError{Field: "Target.Address", Problem: "is set beside ClientConfig.Resolver"}
	case t.Network != "":
		return &conn.ConfigError{Field: "Target.Network", Problem: "is set beside ClientConfig.Resolver"}
	case t.Dial != nil:
		return &conn.ConfigError{Field: "Target.Dial", Problem: "is set beside ClientConfig.Resolver, whose addresses it does not get"}
	}
	return c.Balance.Health.Validate()
}
