package otelgtcp

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// stats are the metrics that are read from Stat when they are collected.
type stats struct {
	instruments
	registration metric.Registration

	mu      sync.Mutex // guards sources
	sources []*source
}

// source is something that is observed.
type source struct {
	kind, name string
	collect    func(*observer)
}

func newStats(meter metric.Meter) (*stats, error) {
	s := &stats{}
	all, err := s.instruments.make(meter)
	if err != nil {
		return nil, err
	}
	s.registration, err = meter.RegisterCallback(s.collect, all...)
	return s, err
}

func (s *stats) close() error { return s.registration.Unregister() }

// collect is called by the provider.
func (s *stats) collect(_ context.Context, to metric.Observer) error {
	s.mu.Lock()
	sources := slices.Clone(s.sources)
	s.mu.Unlock()
	for _, of := range sources {
		of.collect(&observer{&s.instruments, to, of.name})
	}
	return nil
}

// AddClient observes the Stat of a client, its connections included. It needs
// no hooks, so calls cost nothing more. It returns a function that ends the
// observation. It panics if the name is taken: two sources of the same
// attributes would be mixed up.
func (t *Telemetry) AddClient(name string, client interface{ Stat() gtcp.ClientStat }) (remove func()) {
	return t.stats.add("client", name, func(o *observer) { o.client(client.Stat()) })
}

// AddPool observes the Stat of a pool that is not a client's, as AddClient does.
func (t *Telemetry) AddPool(name string, p interface{ Stat() pool.Stat }) (remove func()) {
	return t.stats.add("pool", name, func(o *observer) { o.pool(p.Stat()) })
}

// AddNewPoolConn observes the pools behind gtcp.NewPoolConn, as one: an address is
// no attribute.
func (t *Telemetry) AddNewPoolConn(name string) (remove func()) {
	return t.stats.add("pool", name, func(o *observer) { o.pool(gtcp.PoolsStat()) })
}

// AddPipeline observes the Stat of a pipeline that is not a client's, as
// AddClient does.
func (t *Telemetry) AddPipeline(name string, p interface{ Stat() pipeline.Stat }) (remove func()) {
	return t.stats.add("pipeline", name, func(o *observer) { o.pipeline(p.Stat()) })
}

// AddServer observes the Stat of a server, as AddClient does. A server may have
// the name of a client.
func (t *Telemetry) AddServer(name string, s interface{ Stat() server.Stat }) (remove func()) {
	return t.stats.add("server", name, func(o *observer) { o.server(s.Stat()) })
}

func (s *stats) add(kind, name string, collect func(*observer)) (remove func()) {
	name = valid(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.sources {
		if other.name == name && (other.kind == kind || other.kind != "server" && kind != "server") {
			panic(fmt.Sprintf("otelgtcp: a %s is called %q already", other.kind, name))
		}
	}
	of := &source{kind, name, collect}
	s.sources = append(s.sources, of)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sources = slices.DeleteFunc(s.sources, func(other *source) bool { return other == of })
	}
}

// observer reports one source.
type observer struct {
	*instruments
	to   metric.Observer
	name string
}

func (o *observer) attributes(more []attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, keyName.String(o.name))...))
}

func (o *observer) count(c metric.Int64Observable, n uint64, more ...attribute.KeyValue) {
	o.to.ObserveInt64(c, int64(n), o.attributes(more))
}

func (o *observer) number(c metric.Int64Observable, n int, more ...attribute.KeyValue) {
	o.to.ObserveInt64(c, int64(n), o.attributes(more))
}

func (o *observer) flag(c metric.Int64Observable, set bool) {
	n := 0
	if set {
		n = 1
	}
	o.number(c, n)
}
