package promgtcp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Collector is a prometheus.Collector. Make one with [New]. Its methods may be
// called from many goroutines.
type Collector struct {
	mu      sync.Mutex // guards sources
	sources []source
}

var _ prometheus.Collector = (*Collector)(nil)

// source is something that is observed.
type source struct {
	kind, name string
	collect    func(emit)
}

// New returns a collector that observes nothing yet.
func New() *Collector { return &Collector{} }

// AddClient observes a client, its connections included. It returns a function
// that ends that.
func (c *Collector) AddClient(name string, client interface{ Stat() gtcp.ClientStat }) (remove func()) {
	return c.add("client", name, func(e emit) { e.client(client.Stat()) })
}

// AddPool observes a pool that is not a client's.
func (c *Collector) AddPool(name string, p interface{ Stat() pool.Stat }) (remove func()) {
	return c.add("pool", name, func(e emit) { e.pool(p.Stat()) })
}

// AddNewPoolConn observes the pools behind gtcp.NewPoolConn, as one: an address is
// no label.
func (c *Collector) AddNewPoolConn(name string) (remove func()) {
	return c.add("pool", name, func(e emit) { e.pool(gtcp.PoolsStat()) })
}

// AddPipeline observes a pipeline that is not a client's.
func (c *Collector) AddPipeline(name string, p interface{ Stat() pipeline.Stat }) (remove func()) {
	return c.add("pipeline", name, func(e emit) { e.pipeline(p.Stat()) })
}

// AddServer observes a server.
func (c *Collector) AddServer(name string, s interface{ Stat() server.Stat }) (remove func()) {
	return c.add("server", name, func(e emit) { e.server(s.Stat()) })
}

// add panics if the name is taken: two sources with the same labels would make
// every scrape fail. Servers have metrics of their own, so a server may have the
// name of a client.
func (c *Collector) add(kind, name string, collect func(emit)) (remove func()) {
	name = strings.ToValidUTF8(name, "\uFFFD") // any other would make every scrape fail
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sources {
		if s.name == name && (s.kind == kind || s.kind != "server" && kind != "server") {
			panic(fmt.Sprintf("promgtcp: a %s is called %q already", s.kind, name))
		}
	}
	c.sources = append(c.sources, source{kind, name, collect})
	slices.SortFunc(c.sources, func(a, b source) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sources = slices.DeleteFunc(c.sources, func(s source) bool { return s.kind == kind && s.name == name })
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	sources := slices.Clone(c.sources)
	c.mu.Unlock()
	for _, s := range sources {
		s.collect(emit{s.name, out})
	}
}
