package outage_test

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/server"
)

// outages makes each of docs/outage.md, by heading: it builds what works and
// returns what breaks it.
var outages = map[string]func(w *world) (breaks func()){
	"A server is down": func(w *world) func() {
		addr, stop := w.serve("api", "", &server.Server{})
		c := w.client(addr, small(8))
		w.works(c)
		w.load(c, 8, time.Second)
		return stop
	},
	"A server hangs, or the network drops all packets": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{})
		p := w.proxy(addr)
		c := w.client(p.Addr(), small(8))
		w.works(c)
		w.load(c, 8, 300*time.Millisecond)
		return func() { p.Freeze(true) }
	},
	"One server of several is down": func(w *world) func() {
		a, stop := w.serve("api-1", "", &server.Server{})
		b, _ := w.serve("api-2", "", &server.Server{})
		config := small(8)
		config.Resolver = resolve.Addrs(a, b)
		c := w.client("api", config)
		w.works(c)
		w.load(c, 8, time.Second)
		return stop
	},
	"The registry or the DNS fails": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{})
		r := &failing{fails: make(chan struct{}), set: resolve.Addrs(addr)}
		c := w.client("api", gtcp.ClientConfig{Resolver: r})
		w.works(c)
		w.load(c, 4, time.Second)
		return func() { close(r.fails) }
	},
	"Too much load": func(w *world) func() {
		srv := &server.Server{Handler: echoAfter(20 * time.Millisecond)}
		addr, _ := w.serve("api", "", srv)
		c := w.client(addr, small(4))
		w.works(c)
		w.load(c, 2, 200*time.Millisecond)
		time.Sleep(300 * time.Millisecond) // the pool learns how long a call takes
		return func() { w.load(c, 60, 100*time.Millisecond) }
	},
	"Too much load, refused by the server": func(w *world) func() {
		h := echoAfter(20 * time.Millisecond)
		h.Limiter = &server.Limiter{Max: 2, MaxWait: -1}
		h.ErrorReply = func(_ context.Context, err error) []byte { return []byte("error: " + err.Error()) }
		addr, _ := w.serve("api", "", &server.Server{Handler: h})
		c := w.client(addr, small(64))
		w.works(c)
		return func() { w.load(c, 32, time.Second) }
	},
	"A pool is too small": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{Handler: echoAfter(20 * time.Millisecond)})
		c := w.client(addr, small(2))
		w.works(c)
		return func() { w.load(c, 12, 10*time.Second) }
	},
	"Connections are not released": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{})
		c := w.client(addr, small(2))
		w.works(c)
		w.load(c, 4, 200*time.Millisecond)
		return func() {
			for _, p := range c.Pools() {
				for range 2 {
					held, err := p.Get(w.Context())
					require.NoError(w, err)
					w.Cleanup(held.Evict)
				}
			}
		}
	},
	"The server wants TLS and the client does not": func(w *world) func() {
		web := httptest.NewUnstartedServer(nil) // for its certificate
		web.StartTLS()
		cert := web.TLS.Certificates[0]
		web.Close()
		addr, _ := w.serve("api", "", &server.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}})
		c := w.client(addr, small(2))
		return func() { w.load(c, 4, time.Second) }
	},
	"The two sides have different Formats": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{})
		config := small(2)
		config.Format = framing.Format{LittleEndian: true}
		c := w.client(addr, config)
		return func() { w.load(c, 4, 300*time.Millisecond) }
	},
	"Each restart of a server loses calls": func(w *world) func() { return w.restarts(nil) },
	"A handler panics": func(w *world) func() {
		broken := make(chan struct{})
		h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			select {
			case <-broken:
				panic("nil map")
			default:
				return req, nil
			}
		})
		addr, _ := w.serve("api", "", &server.Server{Handler: h})
		c := w.client(addr, small(4))
		w.works(c)
		w.load(c, 4, time.Second)
		return func() { close(broken) }
	},
	"A firewall forgets connections": func(w *world) func() {
		addr, _ := w.serve("api", "", &server.Server{})
		p := w.proxy(addr)
		// The first four connections vanish after a while; later ones live.
		p.SetPlan(func(n int) (plan faultproxy.Plan) {
			if n < 4 {
				plan.Up = faultproxy.Fault{End: faultproxy.Stall, After: 900}
			}
			return plan
		})
		c := w.client(p.Addr(), small(4))
		w.works(c)
		return func() { w.load(c, 4, 300*time.Millisecond) }
	},
}

// restarts makes a shared client of a server, and returns what stops and starts the
// server five times.
func (w *world) restarts(goodbye []byte) func() {
	start := func(addr string) (string, *server.Server, func()) {
		h := echoAfter(time.Millisecond)
		h.Goodbye = goodbye
		srv := &server.Server{Handler: h}
		at, stop := w.serve("api", addr, srv)
		return at, srv, stop
	}
	addr, srv, stop := start("")
	config := small(8)
	config.Shared, config.Goodbye = true, goodbye
	c := w.client(addr, config)
	w.works(c)
	w.load(c, 32, 10*time.Second)
	return func() {
		for range 5 {
			time.Sleep(100 * time.Millisecond)
			refused := c.Stat().Pipeline.DialErrors
			_ = srv.Shutdown(w.Context())
			stop()
			require.Eventually(w, func() bool { return c.Stat().Pipeline.DialErrors > refused }, time.Minute, time.Millisecond)
			_, srv, stop = start(addr)
		}
	}
}

// What docs/outage.md advises against lost calls helps.
func TestRestartsWithGoodbye(t *testing.T) {
	w := newWorld(t)
	restart := w.restarts([]byte("server stops"))
	before := w.look()
	restart()
	now := w.look()
	require.Greater(t, now.metrics[`gtcp_connections_closed_total{reason="goodbye"}`], before.metrics[`gtcp_connections_closed_total{reason="goodbye"}`])
	require.Zero(t, now.metrics[`gtcp_client_errors_total{kind="peer_closed"}`], now.page["errors"])
}

// failing is a resolver that reports a set, and later only errors.
type failing struct {
	set   []resolve.Endpoint
	fails chan struct{}
}

func (f *failing) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	update(f.set, nil)
	select {
	case <-f.fails:
		update(nil, errors.New("registry: no leader"))
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

// Each outage is made, and the figures become what the page says.
func TestOutages(t *testing.T) {
	written := sections(t)
	require.Equal(t, slices.Sorted(maps.Keys(outages)), slices.Sorted(maps.Keys(written)), "docs/outage.md has a section with a table for each")
	for heading, outage := range outages {
		t.Run(heading, func(t *testing.T) {
			w := newWorld(t)
			breaks := outage(w)
			before := w.look()
			breaks()
			lately := before
			end := time.Now().Add(60 * time.Second)
			for {
				time.Sleep(250 * time.Millisecond)
				now := w.look()
				var wrong []string
				for _, r := range written[heading] {
					if ok, found := r.holds(t, before, lately, now); !ok {
						wrong = append(wrong, r.figure+" "+r.becomes+": "+found)
					}
				}
				if len(wrong) == 0 {
					w.tell(written[heading], before, now)
					return
				}
				lately = now
				if time.Now().After(end) {
					w.tell(written[heading], before, now)
					require.Empty(t, wrong)
				}
			}
		})
	}
}

// A table that holds whatever happens would be no proof.
func TestWrongRowsAreSeen(t *testing.T) {
	before := figures{metrics: map[string]float64{"a": 1, "b": 1}}
	now := figures{metrics: map[string]float64{"a": 2, "b": 1}, page: map[string]struct{ Rows []map[string]any }{
		"errors": {Rows: []map[string]any{{"what": "dial", "kind": "refused"}, {"what": "call", "kind": "timeout"}}},
		"slow":   {Rows: []map[string]any{{"phases": map[string]any{"wait": 0.1, "reply": 0.2}}}},
	}}
	for r, want := range map[row]bool{
		{"a", "rises"}: true, {"b", "rises"}: false, {"c", "rises"}: false,
		{"a", "stays"}: false, {"b", "stays"}: true,
		{"a", "2"}: true, {"a", "1"}: false, {"c", "0"}: true,
		{"a", "above 1"}: true, {"a", "above 2"}: false, {"a", "below 3"}: true, {"a", "below 2"}: false,
		{"errors: dial, refused", "is listed"}: true, {"errors: dial, timeout", "is listed"}: false, {"errors: x", "is listed"}: false,
		{"slow: reply", "is listed"}: true, {"slow: wait", "is listed"}: false, {"pools: x", "is listed"}: false,
	} {
		got, _ := r.holds(t, before, before, now)
		require.Equal(t, want, got, r)
	}
}

// tell logs the figures, for whoever writes the page: with -v, also those of which
// it says nothing.
func (w *world) tell(rows []row, before, now figures) {
	if !testing.Verbose() {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(now.metrics)) {
		known := slices.ContainsFunc(rows, func(r row) bool { return r.figure == name })
		if was, is := before.metrics[name], now.metrics[name]; was != is || known {
			w.Logf("%-60s %10g %10g %v", name, was, is, known)
		}
	}
	for _, table := range []string{"errors", "slow", "endpoints", "pools", "clients"} {
		for i, r := range now.page[table].Rows {
			if i < 6 {
				w.Logf("%s %v", table, r)
			}
		}
	}
}
