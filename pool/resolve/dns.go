package resolve

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
)

const (
	defaultInterval = 30 * time.Second
	defaultLeast    = time.Second
	defaultTimeout  = 5 * time.Second
)

// DNS finds the servers behind a host name: every A and AAAA record is an
// endpoint. It looks up the name at each interval, after Refresh, and again soon after
// a lookup has failed. A name that does not exist is an error, so the last set
// stays. It suits a headless service of Kubernetes. Use a pointer to a DNS, and
// do not change its fields once it is in use.
//
// A server with an IPv4 and an IPv6 address is two endpoints. Where only one
// family works, set Network to "tcp4" or "tcp6".
type DNS struct {
	// Name is the host name and the port: "orders.internal:8080". A port may
	// be a service name.
	Name string
	// Network is the network to dial: "tcp4" takes only A records, "tcp6" only
	// AAAA records. Empty means "tcp": both.
	Network string
	// Interval is the time between two lookups. Zero means 30 seconds;
	// negative means a lookup only after Refresh or after a failure.
	Interval time.Duration
	// MinInterval is the least time between two lookups, however often Refresh
	// is called. Zero means 1 second; negative means no bound.
	MinInterval time.Duration
	// Timeout limits one lookup. Zero means 5 seconds.
	Timeout time.Duration
	// Lookup finds the addresses of a host; network is "ip", "ip4" or "ip6".
	// Nil means the LookupNetIP of net.DefaultResolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	asked signal.Signal
}

// Refresh requests a lookup as soon as MinInterval allows.
func (d *DNS) Refresh() { d.asked.Send() }

// Validate returns a *ConfigError that names the first field that cannot be
// used, or nil.
func (d *DNS) Validate() error {
	host, _, err := net.SplitHostPort(d.Name)
	switch {
	case err != nil:
		return &ConfigError{"DNS.Name", "is not host:port", err}
	case host == "":
		return &ConfigError{Field: "DNS.Name", Problem: "has no host"}
	case d.Network != "" && d.Network != "tcp" && d.Network != "tcp4" && d.Network != "tcp6":
		return &ConfigError{Field: "DNS.Network", Problem: "must be tcp, tcp4 or tcp6"}
	case d.Timeout < 0:
		return &ConfigError{Field: "DNS.Timeout", Problem: "is negative"}
	}
	return nil
}

// Watch reports the addresses of the name.
func (d *DNS) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return poll(ctx, newSchedule(d.Interval, d.MinInterval, d.Timeout), &d.asked, d.look, update)
}

func (d *DNS) look(ctx context.Context) ([]Endpoint, error) {
	host, port, _ := net.SplitHostPort(d.Name) // Validate has seen it
	network := d.Network
	if network == "" {
		network = "tcp"
	}
	lookup := d.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	addrs, err := lookup(ctx, "ip"+strings.TrimPrefix(network, "tcp"), host)
	if err != nil {
		return nil, &Error{"dns", d.Name, err}
	}
	set := make([]Endpoint, len(addrs))
	for i, a := range addrs {
		set[i] = Endpoint{Network: network, Addr: net.JoinHostPort(a.Unmap().String(), port)}
	}
	return set, nil
}

// newSchedule puts the defaults in.
func newSchedule(interval, least, timeout time.Duration) schedule {
	s := schedule{interval, least, timeout}
	if s.interval == 0 {
		s.interval = defaultInterval
	}
	if s.least == 0 {
		s.least = defaultLeast
	}
	s.least = max(s.least, time.Millisecond)
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	return s
}
