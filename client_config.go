package gtcp

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// ClientConfig says how a [Client] works. The zero value is an exclusive
// client over TCP that speaks gtcp's package protocol and makes up to three
// attempts where that is safe. It is copied by [NewClient].
type ClientConfig struct {
	// Shared lets all calls share a few pipelined connections. Otherwise each
	// call has one to itself while it lasts.
	Shared bool

	// Network is the address's network, as in net.Dial; empty is "tcp".
	Network string
	// Dialer makes the connections: timeouts, keep-alive, TLS. Nil is a zero
	// [conn.Dialer].
	Dialer *conn.Dialer
	// Dial makes a connection in place of Dialer: anything that is a net.Conn.
	// It must heed its context.
	Dial func(ctx context.Context) (net.Conn, error)

	// Format is how requests and replies are framed, the limit on their size
	// included. The zero value is gtcp's package protocol.
	Format framing.Format

	// Retry says when a call is repeated. By its zero value, up to twice
	// after short waits, and only where no byte of the request has left the
	// process. Retry.Idempotent declares that of all calls; Retry.Budget
	// bounds the repeats of all calls together. Retry.MaxAttempts of 1 is one
	// attempt only.
	Retry retry.Policy

	// Pool configures the pool of an exclusive client beyond the above:
	// bounds, lifetimes, probe, backend, hooks. The fields of the same names
	// as those above, and Address, must be left zero. With ProbeAfter and
	// Probe left zero each call looks at its connection itself, at no cost;
	// see [conn.Conn.Ask]. A shared client does not use it.
	Pool pool.Config

	// Pipeline configures the connections of a shared client likewise. An
	// exclusive one does not use it.
	Pipeline pipeline.Config
}

// Validate returns an error that names the field that cannot be used, or nil.
func (c ClientConfig) Validate() error { return c.validate("address:0") }

// validate is Validate with the address.
func (c ClientConfig) validate(addr string) error {
	if c.Dial != nil && c.Dialer != nil {
		return fmt.Errorf("gtcp: ClientConfig.Dialer is set beside Dial")
	}
	if err := c.Format.Validate(); err != nil {
		return fmt.Errorf("gtcp: ClientConfig.Format: %w", err)
	}
	if err := c.Retry.Validate(); err != nil {
		return fmt.Errorf("gtcp: ClientConfig.Retry: %w", err)
	}
	p, q := c.Pool, c.Pipeline
	for _, f := range []struct {
		name    string
		set     bool
		instead string
	}{
		{"Pool.Network", p.Network != "", "ClientConfig.Network"},
		{"Pool.Address", p.Address != "", "NewClient's argument"},
		{"Pool.Dialer", p.Dialer != nil, "ClientConfig.Dialer"},
		{"Pool.Dial", p.Dial != nil, "ClientConfig.Dial"},
		{"Pipeline.Network", q.Network != "", "ClientConfig.Network"},
		{"Pipeline.Address", q.Address != "", "NewClient's argument"},
		{"Pipeline.Dialer", q.Dialer != nil, "ClientConfig.Dialer"},
		{"Pipeline.Dial", q.Dial != nil, "ClientConfig.Dial"},
		{"Pipeline.Format", q.Format != framing.Format{}, "ClientConfig.Format"},
	} {
		if f.set {
			return fmt.Errorf("gtcp: ClientConfig.%s is set: set %s instead", f.name, f.instead)
		}
	}
	if err := c.poolConfig(addr).Validate(); err != nil {
		return inField("Pool", err)
	}
	if err := c.pipelineConfig(addr).Validate(); err != nil {
		return inField("Pipeline", err)
	}
	return nil
}

// inField is the error of a layer's configuration in the words of this one: what
// is set outside is not the layer's.
func inField(layer string, err error) error {
	var ofPool *pool.ConfigError
	var ofPipeline *pipeline.ConfigError
	field := ""
	switch {
	case errors.As(err, &ofPool):
		field = ofPool.Field
	case errors.As(err, &ofPipeline):
		field = ofPipeline.Field
	}
	switch field {
	case "Address":
		return fmt.Errorf("gtcp: the address of the server: %w", err)
	case "Network", "Dialer", "Dial":
		return fmt.Errorf("gtcp: ClientConfig.%s: %w", field, err)
	}
	return fmt.Errorf("gtcp: ClientConfig.%s: %w", layer, err)
}

func (c ClientConfig) poolConfig(addr string) pool.Config {
	p := c.Pool
	p.Network, p.Address, p.Dialer, p.Dial = c.Network, addr, c.Dialer, c.Dial
	p.BorrowerAsks = p.BorrowerAsks || p.ProbeAfter == 0 && p.Probe == nil
	return p
}

func (c ClientConfig) pipelineConfig(addr string) pipeline.Config {
	p := c.Pipeline
	p.Network, p.Address, p.Dialer, p.Dial = c.Network, addr, c.Dialer, c.Dial
	p.Format = c.Format
	return p
}
