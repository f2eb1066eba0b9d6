package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/promgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

// program is what is observed, and what observes it.
type program struct {
	server   *server.Server
	listener net.Listener
	orders   *gtcp.Client       // a connection for each call
	prices   *gtcp.Client       // one connection for all calls
	catalog  *gtcp.Client       // of a service, here of one server
	sessions *pool.Pool         // used without a Client
	bare     *pipeline.Pipeline // the same

	prometheus, otel *prometheus.Registry
	meters           *metric.MeterProvider
	tracers          *trace.TracerProvider
	telemetry        *otelgtcp.Telemetry
	traces           *recentTraces
	page             *debugpage.Page
}

// newObservers makes what observes.
func newObservers() (p *program, err error) {
	p = &program{prometheus: prometheus.NewRegistry(), otel: prometheus.NewRegistry(), traces: &recentTraces{keep: 20}}
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(p.otel), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	p.meters = metric.NewMeterProvider(metric.WithReader(exporter))
	// A busy program samples fewer of its calls, and sends them to a collector.
	p.tracers = trace.NewTracerProvider(trace.WithSyncer(p.traces), trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(.2))))
	p.telemetry, err = otelgtcp.New(otelgtcp.Config{MeterProvider: p.meters, TracerProvider: p.tracers})
	p.page = &debugpage.Page{SlowCall: 30 * time.Millisecond}
	return p, err
}

// newProgram makes everything, each thing attached to all that observes.
func newProgram() (*program, error) {
	p, err := newObservers()
	if err != nil {
		return nil, err
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	addr := p.listener.Addr().String()

	var requests atomic.Uint64
	handler := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		switch n := requests.Add(1); {
		case n%50 == 0:
			time.Sleep(40 * time.Millisecond) // a slow one, to be found on the pages
		case n%75 == 0:
			return nil, &envelope.StatusError{Status: 16, Message: "out of stock"}
		}
		return req, nil
	})
	handler.Envelope = true // the trace of a request goes on at the server
	p.server = &server.Server{
		Handler: handler, Logger: quiet,
		Hooks: append(p.page.Hooks("api"), p.telemetry.ServerHook("api")),
	}
	config := func(name string, shared bool) gtcp.ClientConfig {
		hooks := p.page.Hooks(name)
		return p.telemetry.ClientConfig(name, gtcp.ClientConfig{
			Shared: shared, Envelope: true, Hooks: hooks, Pool: pool.Config{Hooks: hooks}, Pipeline: pipeline.Config{Hooks: hooks},
		})
	}
	p.orders = gtcp.NewClient(addr, config("orders", false))
	p.prices = gtcp.NewClient(addr, config("prices", true))
	catalog := config("catalog", false)
	catalog.Resolver = resolve.Addrs(addr)
	p.catalog = gtcp.NewClient("catalog", catalog)
	target := conn.Target{Address: addr}
	sessions := p.telemetry.PoolConfig("sessions", pool.Config{MaxConns: 4, MinIdle: 1, Hooks: p.page.Hooks("sessions")})
	if p.sessions, err = pool.New(target, sessions); err != nil {
		return nil, err
	}
	bare := p.telemetry.PipelineConfig("bare", pipeline.Config{Hooks: p.page.Hooks("bare")})
	if p.bare, err = pipeline.New(target, framing.Format{}, bare); err != nil {
		return nil, err
	}
	return p, p.show()
}

// show adds everything to what reads Stat.
func (p *program) show() error {
	collector := promgtcp.New()
	for name, client := range map[string]*gtcp.Client{"orders": p.orders, "prices": p.prices, "catalog": p.catalog} {
		collector.AddClient(name, client)
		p.telemetry.AddClient(name, client)
		p.page.AddClient(name, client)
	}
	collector.AddPool("sessions", p.sessions)
	p.telemetry.AddPool("sessions", p.sessions)
	p.page.AddPool("sessions", p.sessions)
	collector.AddPipeline("bare", p.bare)
	p.telemetry.AddPipeline("bare", p.bare)
	p.page.AddPipeline("bare", p.bare)
	collector.AddServer("api", p.server)
	p.telemetry.AddServer("api", p.server)
	p.page.AddServer("api", p.server)
	return p.prometheus.Register(collector)
}

// pages are what the HTTP port shows.
func (p *program) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(p.prometheus, promhttp.HandlerOpts{}))
	mux.Handle("/otel/metrics", promhttp.HandlerFor(p.otel, promhttp.HandlerOpts{}))
	mux.Handle("/traces", p.traces)
	mux.Handle("/debug/gtcp/", p.page)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for _, page := range pageList {
			fmt.Fprintf(w, "<p><a href=%q>%s</a>: %s</p>\n", page[0], page[0], page[1])
		}
	})
	return mux
}

// run serves and calls until ctx ends, and closes everything.
func (p *program) run(ctx context.Context, pause time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.listener) }()
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() { p.call(ctx, pause) })
	}
	callers.Wait()

	stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := errors.Join(p.orders.Shutdown(stop), p.prices.Shutdown(stop), p.catalog.Shutdown(stop), p.sessions.Shutdown(stop), p.bare.Shutdown(stop),
		p.server.Shutdown(stop), p.telemetry.Close(), p.meters.Shutdown(stop), p.tracers.Shutdown(stop))
	if stopped := <-served; !errors.Is(stopped, server.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	return err
}

// call uses each of the clients in turn. Their errors are on the pages.
func (p *program) call(ctx context.Context, pause time.Duration) {
	for ctx.Err() == nil {
		_, _ = p.orders.Call(ctx, []byte("two apples"))
		_, _ = p.prices.Call(ctx, []byte("apples"))
		_, _ = p.catalog.Call(ctx, []byte("fruit"))
		_, _ = p.bare.Call(ctx, request(ctx, "pears"))
		p.session(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// request is a text behind the envelope that a Client would send.
func request(ctx context.Context, text string) []byte {
	span := api.SpanContextFromContext(ctx)
	e := envelope.Envelope{Trace: envelope.Trace{ID: span.TraceID(), Parent: span.SpanID(), Flags: byte(span.TraceFlags())}}
	b, _ := e.Append(nil) // nothing in it is too long
	return append(b, text...)
}

// session is one request on a connection of one's own.
func (p *program) session(ctx context.Context) {
	ctx, span := p.tracers.Tracer("observe").Start(ctx, "session")
	defer span.End()
	c, err := p.sessions.Get(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	frame, err := framing.Format{}.Append(nil, request(ctx, "hello"))
	if err == nil {
		err = c.Do(ctx, func() error {
			if _, err := c.Write(frame); err != nil {
				return err
			}
			_, err := framing.NewReader(c, framing.Format{}).Next()
			return err
		})
	}
	if err != nil {
		c.EvictFor(err)
	}
}

// quiet takes the log: the errors are on the pages.
var quiet = slog.New(slog.DiscardHandler)
