package resolve

import (
	"cmp"
	"maps"
	"slices"
)

// Endpoint is one server of a service: its address, zone, weight and
// priority.
type Endpoint struct {
	// Network is the network of Addr, as in net.Dial. Empty means "tcp".
	Network string `json:"network,omitempty"`
	// Addr is the address to dial, such as "10.0.0.7:8080".
	Addr string `json:"addr"`
	// Zone names the place of the server, such as a datacenter. A client can
	// prefer servers of its own zone. Empty means unknown.
	Zone string `json:"zone,omitempty"`
	// Weight is the share of calls, relative to the other weights of the set.
	// Zero means 1.
	Weight uint32 `json:"weight,omitempty"`
	// Priority orders the servers: those with the lowest number are used, and
	// the others when too few of these are available.
	Priority int `json:"priority,omitempty"`
	// Meta has further data of the registry. It must not be changed.
	Meta map[string]string `json:"meta,omitempty"`
}

// ID identifies an endpoint within a set: its network and address. Two
// endpoints with the same ID are the same server.
type ID struct {
	// Network is never empty.
	Network string
	// Addr is the address to dial.
	Addr string
}

// ID returns the identity of e.
func (e Endpoint) ID() ID { return ID{cmp.Or(e.Network, "tcp"), e.Addr} }

// String returns the address, with the network in front if that is not "tcp".
func (e Endpoint) String() string {
	if id := e.ID(); id.Network != "tcp" {
		return id.Network + "!" + id.Addr
	}
	return e.Addr
}

// Equal reports whether e and o are the same in every field. An empty Network
// equals "tcp", a Weight of 0 equals 1, and a nil Meta equals an empty one.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.ID() == o.ID() && e.Zone == o.Zone && max(e.Weight, 1) == max(o.Weight, 1) &&
		e.Priority == o.Priority && maps.Equal(e.Meta, o.Meta)
}

// Normalize returns a copy of set in its one normal form: sorted by network and
// address, each endpoint once, Network and Weight never zero. Of several
// endpoints with the same ID it keeps the one with the lowest Priority, then
// the greatest Weight.
func Normalize(set []Endpoint) []Endpoint {
	if len(set) == 0 {
		return nil
	}
	out := slices.Clone(set)
	for i := range out {
		out[i].Network = out[i].ID().Network
		out[i].Weight = max(out[i].Weight, 1)
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b Endpoint) bool { return a.ID() == b.ID() })
}

// compare orders endpoints; those it calls equal differ in no field.
func compare(a, b Endpoint) int {
	return cmp.Or(
		cmp.Compare(a.Network, b.Network),
		cmp.Compare(a.Addr, b.Addr),
		cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(b.Weight, a.Weight),
		cmp.Compare(a.Zone, b.Zone),
		compareMeta(a.Meta, b.Meta),
	)
}

func compareMeta(a, b map[string]string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 || len(a) == 0 {
		return c
	}
	keys := slices.Sorted(maps.Keys(a))
	if c := slices.Compare(keys, slices.Sorted(maps.Keys(b))); c != 0 {
		return c
	}
	for _, k := range keys {
		if c := cmp.Compare(a[k], b[k]); c != 0 {
			return c
		}
	}
	return 0
}

// equal compares two normalized sets.
func equal(a, b []Endpoint) bool { return slices.EqualFunc(a, b, Endpoint.Equal) }
