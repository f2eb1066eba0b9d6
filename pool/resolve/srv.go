package resolve

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
)

// SRV finds the servers named by the SRV records of a service. Target and port
// of a record are the address, which is resolved when it is dialed; priority
// and weight are the record's. Weight 0 is the same as 1. A record with the
// target "." says that there is no server. Use a pointer to an SRV, and do not
// change its fields once it is in use.
type SRV struct {
	// Service, Proto and Name make the name to look up, as in
	// net.LookupSRV: _Service._Proto.Name. With Service and Proto empty, Name
	// is looked up as it is.
	Service, Proto, Name string
	// Network is the network to dial. Empty means "tcp".
	Network string
	// Interval is the time between two lookups. Zero means 30 seconds;
	// negative means a lookup only after Refresh or after a failure.
	Interval time.Duration
	// MinInterval is the least time between two lookups, however often Refresh
	// is called. Zero means 1 second; negative means no bound.
	MinInterval time.Duration
	// Timeout limits one lookup. Zero means 5 seconds.
	Timeout time.Duration
	// Lookup finds the records. Nil means the LookupSRV of
	// net.DefaultResolver.
	Lookup func(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)

	asked signal.Signal
}

// Refresh requests a lookup as soon as MinInterval allows.
func (s *SRV) Refresh() { s.asked.Send() }

// Validate returns a *ConfigError that names the first field that cannot be
// used, or nil.
func (s *SRV) Validate() error {
	switch {
	case s.Name == "":
		return &ConfigError{Field: "SRV.Name", Problem: "is empty"}
	case (s.Service == "") != (s.Proto == ""):
		return &ConfigError{Field: "SRV.Service", Problem: "and SRV.Proto must be set together"}
	case s.Timeout < 0:
		return &ConfigError{Field: "SRV.Timeout", Problem: "is negative"}
	}
	return nil
}

// Watch reports the servers that the records name.
func (s *SRV) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return poll(ctx, newSchedule(s.Interval, s.MinInterval, s.Timeout), &s.asked, s.look, update)
}

func (s *SRV) look(ctx context.Context) ([]Endpoint, error) {
	lookup := s.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupSRV
	}
	_, records, err := lookup(ctx, s.Service, s.Proto, s.Name)
	if err != nil {
		return nil, &Error{"srv", s.Name, err}
	}
	set := make([]Endpoint, 0, len(records))
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" {
			continue
		}
		set = append(set, Endpoint{
			Network: s.Network, Addr: net.JoinHostPort(host, strconv.Itoa(int(r.Port))),
			Priority: int(r.Priority), Weight: uint32(r.Weight),
		})
	}
	return set, nil
}
