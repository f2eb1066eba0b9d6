package debugpage_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"expvar"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

func TestPage(t *testing.T) {
	p := &debugpage.Page{}
	srv := &server.Server{Hooks: p.Hooks("api")}
	addr := serve(t, srv)
	p.AddServer("api", srv)
	for name, c := range map[string]*gtcp.Client{
		"exclusive": gtcp.NewClient(addr, gtcp.ClientConfig{}),
		"shared":    gtcp.NewClient(addr, gtcp.ClientConfig{Shared: true}),
		"service":   gtcp.NewClient("things", gtcp.ClientConfig{Resolver: resolve.Addrs(addr, "127.0.0.1:1")}),
		"lost":      gtcp.NewClient("127.0.0.1:1", gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)}}),
	} {
		defer c.Close()
		p.AddClient(name, c)
		for range 4 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.Equal(t, name == "lost", err != nil)
		}
	}
	sessions, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	require.NoError(t, err)
	defer sessions.Close()
	p.AddPool("sessions", sessions)
	inUse, err := sessions.Get(t.Context())
	require.NoError(t, err)
	defer inUse.Close()
	bare, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{})
	require.NoError(t, err)
	defer bare.Close()
	p.AddPipeline("bare", bare)
	p.AddNewPoolConn()
	pooled, err := gtcp.NewPoolConn(addr)
	require.NoError(t, err)
	require.NoError(t, pooled.Conn.Close())

	all := tables(t, p, "")
	require.Equal(t, []any{"exclusive", "lost", "service", "shared"}, column(all["clients"], "name"))
	require.Equal(t, []any{"exclusive", "exclusive", "exclusive", "shared"}, column(all["clients"], "mode"))
	require.EqualValues(t, map[string]any{"refused": 4.0}, all["clients"].Rows[1]["kinds"])
	require.Equal(t, []any{"127.0.0.1:1", addr}, column(all["endpoints"], "addr"))
	require.Equal(t, 1.0, all["endpoints"].Rows[1]["open"])
	require.Subset(t, column(all["pools"], "name"), []any{"exclusive", "lost", "service", "sessions", addr})
	require.Contains(t, column(all["pools"], "kind"), "NewPoolConn")
	require.Equal(t, []any{"bare", "shared"}, column(all["pipelines"], "name"))
	require.Equal(t, []any{"api"}, column(all["servers"], "name"))
	require.Equal(t, 12.0, all["servers"].Rows[0]["requests"])
	conns := tables(t, p, "?conns.filter=sessions")["conns"]
	require.Equal(t, 1, conns.Matched)
	require.Equal(t, "in use", conns.Rows[0]["state"])
	require.Equal(t, addr, conns.Rows[0]["remote"])
	require.Equal(t, 1.0, conns.Rows[0]["inFlight"])
	require.Eventually(t, func() bool {
		byServer := tables(t, p, "?conns.filter=server+api+"+addr)["conns"].Matched
		return byServer > 0 && tables(t, p, "?conns.filter="+addr)["conns"].Matched == 2*byServer
	}, 10*time.Second, time.Millisecond, "each connection has two ends in this program")

	html := page(t, p, "")
	for _, name := range []string{"exclusive", "lost", "service", "sessions", "bare", "api", addr, "Read-only"} {
		has(t, html, ">"+name+"<")
	}
	hasNot(t, html, `method="post"`)
}

func TestTitle(t *testing.T) {
	has(t, page(t, &debugpage.Page{}, ""), `<title>`+filepath.Base(os.Args[0])+` – gtcp`)
	has(t, page(t, &debugpage.Page{Title: "<shop>"}, ""), `<title>&lt;shop&gt; – gtcp</title>`, `<span class="program">&lt;shop&gt;</span>`)
}

func TestBalancer(t *testing.T) {
	p := &debugpage.Page{}
	b, err := balance.New(balance.Config[int]{
		Resolver: resolve.Addrs("10.0.0.1:1", "10.0.0.2:1"), Policy: balance.RoundRobin, Health: balance.Health{Failures: 1, SlowStart: -1},
		Open: func(resolve.Endpoint) (int, error) { return 0, nil },
	})
	require.NoError(t, err)
	defer b.Close()
	defer debugpage.AddBalancer(p, "bare", b)()
	for range 2 {
		checkout, err := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, err)
		result := balance.Success
		if checkout.Node.Endpoint().Addr == "10.0.0.2:1" {
			result = balance.Failure
		}
		checkout.Done(balance.Outcome{Result: result})
	}
	busy, err := b.Pick(t.Context(), balance.Request{})
	require.NoError(t, err)
	busy.Done(balance.Outcome{Result: balance.Overloaded})
	require.Eventually(t, func() bool {
		return strings.Contains(page(t, p, ""), "1 of 2")
	}, 10*time.Second, time.Millisecond)
	all := tables(t, p, "?endpoints.sort=addr")
	require.Equal(t, []any{"ready", "ejected"}, column(all["endpoints"], "state"))
	require.Equal(t, []any{1.0, 0.0}, column(all["endpoints"], "refused"))
	require.Equal(t, []any{"balancer"}, column(all["clients"], "mode"))
	require.Equal(t, []any{2.0, 1.0}, []any{all["clients"].Rows[0]["calls"], all["clients"].Rows[0]["failed"]})
}

// A row that needs a look is marked, and says why.
func TestMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(1500 * time.Millisecond)
		refused := kindly{conn.KindRefused, "refused"}
		for name, c := range map[string]struct {
			pool pool.Stat
			want []string
		}{
			"well":      {pool.Stat{Open: 1}, []string{`<tr role="row"><td`, ">as needed<"}},
			"recovered": {pool.Stat{LastDialError: refused}, []string{`<tr role="row"><td`, ">as needed; last error: refused<"}},
			"dialing":   {pool.Stat{Dialing: 2}, []string{`<tr role="row"><td`, ">2 in progress<"}},
			"waiting":   {pool.Stat{Waiting: 3, OldestWait: time.Second}, []string{`<tr role="row" class="warn"><td`, `<div class="warn"><dt>Callers waiting</dt><dd>3</dd>`}},
			"suspended": {pool.Stat{Waiting: 1, Suspended: true, SuspendedUntil: soon, LastDialError: refused}, []string{
				`<tr role="row" class="bad"><td`, ">suspended, next in 1.5 s; last error: refused<", `<div class="bad"><dt>Dials suspended</dt><dd>1</dd>`,
			}},
			"trying": {pool.Stat{Suspended: true, SuspendedUntil: time.Now()}, []string{`<tr role="row" class="bad"><td`, ">suspended, next now<"}},
		} {
			p := &debugpage.Page{}
			p.AddPool(name, &fakePool{stat: func() pool.Stat { return c.pool }})
			has(t, page(t, p, ""), c.want...)
			p = &debugpage.Page{}
			p.AddPipeline(name, &fakePipeline{stat: func() pipeline.Stat {
				return pipeline.Stat{Dialing: c.pool.Dialing > 0, Waiting: c.pool.Waiting, Suspended: c.pool.Suspended, SuspendedUntil: c.pool.SuspendedUntil, LastDialError: c.pool.LastDialError}
			}})
			has(t, strings.Replace(page(t, p, ""), "1 in progress", "2 in progress", 1), c.want...)
		}
		p := &debugpage.Page{}
		p.AddServer("stopped", &fakeServer{})
		has(t, page(t, p, ""), `<tr role="row" class="warn"><th scope="row" role="rowheader" data-title="Name">stopped`)
		p = &debugpage.Page{}
		p.AddServer("runs", &fakeServer{stat: func() server.Stat { return server.Stat{Listeners: 1} }})
		has(t, page(t, p, ""), `<tr role="row"><th scope="row" role="rowheader" data-title="Name">runs`)
		p = &debugpage.Page{}
		p.AddPipeline("x", &fakePipeline{conns: []pipeline.ConnStat{{ID: 1}, {ID: 2, InFlight: 1}, {ID: 3, InFlight: 1, Silent: true}, {ID: 4, Silent: true, Leaving: true}}})
		require.Equal(t, []any{"ready", "in use", "silent", "leaving"}, column(tables(t, p, "?conns.sort=id")["conns"], "state"))
		has(t, page(t, p, ""), `<dt>In use</dt><dd>3</dd>`, `<tr role="row" class="warn"><td`)
	})
}

// sets is a resolver that a test tells what to report.
type sets chan func(update func([]resolve.Endpoint, error))

func (s sets) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	for {
		select {
		case f := <-s:
			f(update)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestSetOfServers(t *testing.T) {
	p, r := &debugpage.Page{}, make(sets)
	c := gtcp.NewClient("things", gtcp.ClientConfig{Resolver: r, Balance: gtcp.BalanceConfig{AllowEmpty: true}})
	defer c.Close()
	p.AddClient("x", c)
	shows := func(texts ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			html := page(t, p, "")
			for _, text := range texts {
				if !strings.Contains(html, text) {
					return false
				}
			}
			return true
		}, 10*time.Second, time.Millisecond, texts)
	}
	const warned = `<tr role="row" class="warn"><th scope="row" role="rowheader" data-title="Name">x`
	r <- func(update func([]resolve.Endpoint, error)) { update(nil, errors.New("no leader")) }
	shows("0 of 0", "no leader", warned)
	r <- func(update func([]resolve.Endpoint, error)) { update(resolve.Addrs("10.0.0.1:1", "10.0.0.2:1"), nil) }
	shows("2 of 2", `<tr role="row"><th scope="row" role="rowheader" data-title="Name">x`)
	r <- func(update func([]resolve.Endpoint, error)) { update(nil, errors.New("no leader")) }
	shows("2 of 2", "no leader", warned)
	r <- func(update func([]resolve.Endpoint, error)) { update(nil, nil) }
	shows("0 of 0", warned)
}

func TestLimiter(t *testing.T) {
	p := &debugpage.Page{}
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		entered <- struct{}{}
		<-leave
		return req, nil
	})
	h.Limiter = &server.Limiter{Max: 1, MaxWait: time.Minute}
	srv := &server.Server{Handler: h}
	c := gtcp.NewClient(serve(t, srv), gtcp.ClientConfig{})
	defer c.Close()
	p.AddServer("api", srv)
	p.AddServer("other", &fakeServer{})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() { _, _ = c.Call(t.Context(), []byte("x")) })
	}
	<-entered
	require.Eventually(t, func() bool { return strings.Contains(page(t, p, ""), ">1, 1 waiting<") }, 10*time.Second, time.Millisecond)
	require.Equal(t, []any{1.0, nil}, column(tables(t, p, "?servers.sort=name")["servers"], "limiter"))
	close(leave)
	calls.Wait()
}

// The server of the facade has figures and connections too.
func TestFacadeServer(t *testing.T) {
	p := &debugpage.Page{}
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		defer c.Close()
		for {
			b, err := c.RecvPkg()
			if err != nil || c.SendPkg(b) != nil {
				return
			}
		}
	})
	defer p.AddServer("facade", s)()
	require.Empty(t, tables(t, p, "")["conns"].Rows)
	ran := make(chan error, 1)
	go func() { ran <- s.Run() }()
	require.Eventually(t, func() bool { return s.GetListenedPort() > 0 }, 10*time.Second, time.Millisecond)
	c, err := gtcp.NewConn(s.GetListenedAddress())
	require.NoError(t, err)
	_, err = c.SendRecvPkg([]byte("x"))
	require.NoError(t, err)
	all := tables(t, p, "")
	require.Equal(t, []any{1.0}, column(all["servers"], "open"))
	require.Equal(t, []any{c.LocalAddr().String()}, column(all["conns"], "remote"))
	require.NoError(t, c.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-ran, net.ErrClosed)
}

// Ten thousand servers make the page no longer than a hundred.
func TestManyServers(t *testing.T) {
	p := &debugpage.Page{}
	set := make(resolve.Static, 10_000)
	for i := range set {
		set[i].Addr = net.JoinHostPort(net.IPv4(10, 0, byte(i>>8), byte(i)).String(), "1")
	}
	c := gtcp.NewClient("", gtcp.ClientConfig{Resolver: set, Balance: gtcp.BalanceConfig{Warm: true}})
	defer c.Close()
	p.AddClient("fleet", c)
	require.Eventually(t, func() bool { return tables(t, p, "")["pools"].Total == len(set) }, 60*time.Second, 10*time.Millisecond)
	all := tables(t, p, "")
	require.Equal(t, 10_000, all["endpoints"].Total)
	require.Len(t, all["endpoints"].Rows, 100)
	require.Len(t, all["pools"].Rows, 100)
	require.Less(t, len(page(t, p, "")), 400_000)
}

// The figures a page shows of a second look are those of the time between.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &debugpage.Page{}
		var s server.Stat
		p.AddServer("api", &fakeServer{stat: func() server.Stat { return s }})
		rate := func() any { return tables(t, p, "")["servers"].Rows[0]["requestRate"] }
		require.Nil(t, rate())
		require.Nil(t, rate(), "at the same time")
		time.Sleep(2 * time.Second)
		s.Requests = 100
		require.Equal(t, 50.0, rate())
		require.Equal(t, 50.0, rate(), "another reader disturbs nothing")
		time.Sleep(10 * time.Second)
		s.Requests = 150
		require.Equal(t, 5.0, rate())
		has(t, page(t, p, ""), "<dt>Requests/s</dt><dd>5.0</dd>")
		time.Sleep(10 * time.Second)
		s.Requests = 0 // another server under the same name
		require.Nil(t, rate())
	})
}

func TestHeaders(t *testing.T) {
	p := &debugpage.Page{}
	p.AddPool("sessions", manyConns(1))
	for method, code := range map[string]int{"GET": 200, "HEAD": 200, "POST": 403, "PUT": 405, "OPTIONS": 405} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		h := w.Header()
		require.Equal(t, code, w.Code)
		require.Equal(t, "no-store", h.Get("Cache-Control"))
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"))
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"))
		policy := h.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.Contains(t, policy, "frame-ancestors 'none'")
		require.NotContains(t, policy, "unsafe")
		if w.Code == 405 {
			require.Equal(t, "GET, HEAD, POST", h.Get("Allow"))
		}
	}

	// Each cell is below the heading of its column.
	p.AddPipeline("x", &fakePipeline{})
	for _, of := range regexp.MustCompile(`(?s)<thead.*?</table>`).FindAllString(page(t, p, ""), -1) {
		rows := strings.Split(of, "<tr role")
		for _, r := range rows[2:] {
			require.Equal(t, strings.Count(rows[1], `<th scope="col"`), strings.Count(r, "data-title="))
		}
	}

	// What the policy allows is what the page has, and nothing else is inline.
	w := get(p, "")
	html, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, of := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+of+`>(.*?)</`+of+`>`).FindAllStringSubmatch(html, -1)
		require.Len(t, found, 1)
		sum := sha256.Sum256([]byte(found[0][1]))
		require.Contains(t, policy, of+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	require.Empty(t, regexp.MustCompile(`(?i)<[a-z][^>]*\s(on[a-z]+|style)=`).FindAllString(html, -1))
}

func TestFormats(t *testing.T) {
	p := &debugpage.Page{}
	p.AddPool("sessions", manyConns(1))
	for _, c := range []struct{ query, accept, want string }{
		{"", "", "text/html"},
		{"", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"},
		{"", "application/json", "application/json"},
		{"", "text/html, application/json", "text/html"},
		{"?format=json", "text/html", "application/json"},
		{"?format=html", "application/json", "text/html"},
	} {
		w := get(p, c.query, "Accept", c.accept)
		require.Equal(t, c.want+"; charset=utf-8", w.Header().Get("Content-Type"), "%+v", c)
		require.Equal(t, "Accept", w.Header().Get("Vary"))
	}
}

func TestExpvar(t *testing.T) {
	p := &debugpage.Page{}
	p.AddPool("sessions", manyConns(1000))
	var v expvar.Var = p
	var doc map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(v.String()), &doc))
	var conns table
	require.NoError(t, json.Unmarshal(doc["conns"], &conns))
	require.Equal(t, 1000, conns.Total)
	require.Len(t, conns.Rows, 100)
}

func TestNames(t *testing.T) {
	p := &debugpage.Page{}
	remove := p.AddPool("a", &fakePool{})
	p.AddServer("a", &fakeServer{})
	p.AddPipeline("a", &fakePipeline{})
	require.PanicsWithValue(t, `debugpage: a pool is called "a" already`, func() { p.AddPool("a", &fakePool{}) })
	require.Panics(t, func() { p.AddServer("a", &fakeServer{}) })
	hide := p.AddNewPoolConn()
	require.Panics(t, func() { p.AddNewPoolConn() })
	hide()
	remove()
	p.AddPool("a", &fakePool{})
	remove() // of the first one, which is gone
	require.Equal(t, []any{"a"}, column(tables(t, p, "")["pools"], "name"))
}

// What cannot be read must not hide the rest.
func TestSourceThatPanics(t *testing.T) {
	p := &debugpage.Page{}
	p.AddPool("bad", &fakePool{stat: func() pool.Stat { panic("<secret>") }})
	p.AddServer("good", &fakeServer{})
	all := tables(t, p, "")
	require.Equal(t, []any{"good"}, column(all["servers"], "name"))
	require.Equal(t, []any{"the pool cannot be shown: a panic of type string"}, column(all["errors"], "note"))
	hasNot(t, page(t, p, ""), "secret")
}

// Each request may need the memory of all rows, so few are served at a time.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &debugpage.Page{}
		let := make(chan struct{})
		p.AddPool("stuck", &fakePool{stat: func() pool.Stat { <-let; return pool.Stat{} }})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { get(p, "") })
		}
		synctest.Wait()
		w := get(p, "")
		require.Equal(t, 503, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		close(let)
		wg.Wait()
		require.Equal(t, 200, get(p, "").Code)
	})
}

func TestReaderThatHasLeft(t *testing.T) {
	p := &debugpage.Page{}
	p.AddServer("api", &fakeServer{stat: func() server.Stat { t.Error("it was read"); return server.Stat{} }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	require.Equal(t, 503, w.Code)
}

// A page is mounted where its user wants: its links and forms are relative.
func TestMounted(t *testing.T) {
	p := &debugpage.Page{AllowChanges: everybody}
	p.AddPool("sessions", manyConns(200))
	for _, link := range regexp.MustCompile(`(?:href|action)="([^"]*)"`).FindAllStringSubmatch(page(t, p, ""), -1) {
		require.True(t, strings.HasPrefix(link[1], "?") || strings.HasPrefix(link[1], "#") || link[1] == "data:,", link[1])
	}
}
