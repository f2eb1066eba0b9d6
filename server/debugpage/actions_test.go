package debugpage_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/examples/custompool"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

// world is a page that shows one of each, with a connection each.
type world struct {
	page     *debugpage.Page
	pool     *pool.Pool
	pipeline *pipeline.Pipeline
	server   *server.Server
	client   *gtcp.Client
	shared   *gtcp.Client
	addr     string
}

func newWorld(t *testing.T) *world {
	w := &world{page: &debugpage.Page{AllowChanges: everybody}, server: &server.Server{}}
	w.addr = serve(t, w.server)
	var err error
	w.pool, err = pool.New(conn.Target{Address: w.addr}, pool.Config{})
	require.NoError(t, err)
	w.pipeline, err = pipeline.New(conn.Target{Address: w.addr}, framing.Format{}, pipeline.Config{})
	require.NoError(t, err)
	w.client = gtcp.NewClient(w.addr, gtcp.ClientConfig{})
	w.shared = gtcp.NewClient(w.addr, gtcp.ClientConfig{Shared: true})
	t.Cleanup(func() {
		for _, c := range []interface{ Close() error }{w.pool, w.pipeline, w.client, w.shared} {
			require.NoError(t, c.Close())
		}
	})
	require.NoError(t, w.pool.Do(t.Context(), func(*pool.Conn) error { return nil }))
	for _, call := range []func(context.Context, []byte) ([]byte, error){w.pipeline.Call, w.client.Call, w.shared.Call} {
		_, err := call(t.Context(), []byte("x"))
		require.NoError(t, err)
	}
	w.page.AddPool("sessions", w.pool)
	w.page.AddPipeline("bare", w.pipeline)
	w.page.AddServer("api", w.server)
	w.page.AddClient("orders", w.client)
	w.page.AddClient("search", w.shared)
	return w
}

// open is how many connections the page shows of one kind and name.
func (w *world) open(t *testing.T, kind, name string) int {
	return tables(t, w.page, "?conns.filter="+kind+"+"+name)["conns"].Matched
}

func TestChanges(t *testing.T) {
	w := newWorld(t)
	html := page(t, w.page, "?conns.sort=-id")
	has(t, html, "Changes allowed")
	gone := func(kind, name string) {
		t.Helper()
		require.Eventually(t, func() bool { return w.open(t, kind, name) == 0 }, 10*time.Second, time.Millisecond)
	}
	do := func(pairs ...string) {
		t.Helper()
		r := post(w.page, form(t, html, pairs...))
		require.Equal(t, 303, r.Code, r.Body)
		require.Equal(t, "?conns.sort=-id&done="+pairs[1], r.Header().Get("Location"))
		has(t, page(t, w.page, r.Header().Get("Location")), `<p id="done" role="status">The `)
	}
	do("do", "evict", "kind", "pool", "name", "sessions")
	gone("pool", "sessions")
	do("do", "evict", "kind", "pipeline", "name", "bare")
	gone("pipeline", "bare")
	do("do", "evict", "kind", "client", "name", "orders")
	gone("client", "orders")
	do("do", "drain", "kind", "client", "name", "search")
	gone("client", "search")
	for _, f := range forms(html) {
		if f.Get("do") == "close" {
			_ = post(w.page, f) // those evicted may be gone already
		}
	}
	gone("server", "api")

	do("do", "resize", "kind", "pool", "name", "sessions", "max", "64")
	f := form(t, html, "do", "resize", "kind", "client", "name", "orders", "addr", w.addr)
	f.Set("max", "3")
	require.Equal(t, 303, post(w.page, f).Code)
	require.Equal(t, 3, w.client.Stat().Pool.MaxConns)

	c, err := w.pool.Get(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Close())
	do("do", "drain", "kind", "pool", "name", "sessions")
	gone("pool", "sessions")
}

func TestChangesOfNewPoolConn(t *testing.T) {
	addr := serve(t, &server.Server{})
	c, err := gtcp.NewPoolConn(addr)
	require.NoError(t, err)
	_, err = c.SendRecvPkg([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	p := &debugpage.Page{AllowChanges: everybody}
	p.AddNewPoolConn()
	require.Equal(t, 1, tables(t, p, "?conns.filter="+addr)["conns"].Matched)
	require.Equal(t, 303, post(p, form(t, page(t, p, ""), "do", "evict", "addr", addr)).Code)
	require.Eventually(t, func() bool { return tables(t, p, "?conns.filter="+addr)["conns"].Matched == 0 }, 10*time.Second, time.Millisecond)
}

// A server of a service has the name of the service beside its address.
func TestChangesOfAService(t *testing.T) {
	name, a, b := "things of "+t.Name(), serve(t, &server.Server{}), serve(t, &server.Server{})
	require.NoError(t, gtcp.ConfigureResolver(name, resolve.Addrs(a, b), balance.RoundRobin))
	defer func() { require.NoError(t, gtcp.ConfigureResolver(name, nil, nil)) }()
	for range 2 {
		c, err := gtcp.NewPoolConn(name)
		require.NoError(t, err)
		_, err = c.SendRecvPkg([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	p := &debugpage.Page{AllowChanges: everybody}
	p.AddNewPoolConn()
	open := func(addr string) int {
		return tables(t, p, "?conns.filter="+url.QueryEscape(name+" "+addr))["conns"].Matched
	}
	require.Equal(t, []int{1, 1}, []int{open(a), open(b)})
	require.Equal(t, 303, post(p, form(t, page(t, p, "?conns.filter="+b), "do", "evict", "name", name, "addr", b)).Code)
	require.Eventually(t, func() bool { return open(b) == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, open(a))
}

// Nobody changes anything who may not, and nothing but what the page shows.
func TestRefusedChanges(t *testing.T) {
	w := newWorld(t)
	html := page(t, w.page, "")
	good := form(t, html, "do", "evict", "kind", "pool", "name", "sessions")
	with := func(pairs ...string) url.Values {
		f := url.Values{}
		for k, v := range good {
			f[k] = slices.Clone(v)
		}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	nobody := func(*http.Request) bool { return false }
	for name, c := range map[string]struct {
		allow  func(*http.Request) bool
		form   url.Values
		header []string
		code   int
		why    string
	}{
		"read-only":            {nil, good, nil, 403, "read-only"},
		"a stranger":           {nobody, good, nil, 403, "may not"},
		"another site":         {everybody, good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "another site"},
		"a neighbour":          {everybody, good, []string{"Sec-Fetch-Site", "same-site"}, 403, "another site"},
		"an old browser":       {everybody, good, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, 403, "another site"},
		"no token":             {everybody, with("token", ""), nil, 403, "not from this page"},
		"a wrong token":        {everybody, with("token", "x"), nil, 403, "not from this page"},
		"a token of a page":    {everybody, with("token", form(t, page(t, newWorld(t).page, ""), "do", "evict").Get("token")), nil, 403, "not from this page"},
		"an unknown kind":      {everybody, with("kind", "x"), nil, 404, "no such pool"},
		"an unknown name":      {everybody, with("name", "x"), nil, 404, "no such pool"},
		"an unknown address":   {everybody, with("addr", "x"), nil, 404, "no such pool"},
		"an unknown number":    {everybody, with("conn", "4711"), nil, 404, "no such connection"},
		"no number":            {everybody, with("conn", "x"), nil, 400, "not the number"},
		"close of a pool":      {everybody, with("do", "close"), nil, 404, "no such connection"},
		"an unknown act":       {everybody, with("do", "stop"), nil, 400, "cannot do that"},
		"no limit":             {everybody, with("do", "resize"), nil, 400, "must be a number"},
		"no limit at all":      {everybody, with("do", "resize", "max", "-1"), nil, 400, "must be a number"},
		"drain of a server":    {everybody, with("do", "drain", "kind", "server", "name", "api"), nil, 400, "cannot be drained"},
		"resize of a server":   {everybody, with("do", "resize", "kind", "server", "name", "api", "max", "1"), nil, 400, "must be a number"},
		"evict of a server":    {everybody, with("kind", "server", "name", "api", "conn", "1"), nil, 404, "no such connection"},
		"a form without end":   {everybody, with("back", strings.Repeat("x", 1<<20)), nil, 400, "cannot be read"},
		"a form that is none":  {everybody, good, []string{"Content-Type", "text/plain"}, 403, "not from this page"},
		"a form that is wrong": {everybody, good, []string{"Content-Type", "multipart/form-data"}, 403, "not from this page"},
	} {
		t.Run(name, func(t *testing.T) {
			w.page.AllowChanges = c.allow
			r := post(w.page, c.form, c.header...)
			require.Equal(t, c.code, r.Code)
			require.Contains(t, r.Body.String(), c.why)
			require.Equal(t, "nosniff", r.Header().Get("X-Content-Type-Options"))
			require.Empty(t, r.Header().Get("Location"))
			require.Equal(t, 1, w.pool.Stat().Open)
			require.Equal(t, 64, w.pool.Stat().MaxConns)
		})
	}
	w.page.AllowChanges = everybody
	require.Equal(t, 200, get(w.page, "?"+good.Encode()).Code)
	require.Equal(t, 1, w.pool.Stat().Open, "a GET changes nothing")
	require.Equal(t, 303, post(w.page, good).Code)

	// Who may not change anything is shown no forms, and no token.
	w.page.AllowChanges = nobody
	html = page(t, w.page, "")
	has(t, html, "Read-only")
	require.Empty(t, forms(html))
	hasNot(t, html, good.Get("token"))
}

// A name that was made to mean this machine is another site's.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	web := httptest.NewServer(w.page)
	defer web.Close()
	f := form(t, page(t, w.page, ""), "do", "resize", "name", "sessions")
	port := web.URL[strings.LastIndex(web.URL, ":"):]
	for host, code := range map[string]int{
		"127.0.0.1" + port: 303, "localhost" + port: 303, "[::1]" + port: 303, "localhost": 303,
		"evil.example" + port: 403, "evil.example": 403, "localhost.evil.example" + port: 403, "127.0.0.1.evil.example": 403,
	} {
		r, err := http.NewRequest(http.MethodPost, web.URL, strings.NewReader(f.Encode()))
		require.NoError(t, err)
		r.Host = host
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		reply, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		require.Equal(t, code, reply.StatusCode, host)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// The way back leads to this page only.
func TestBack(t *testing.T) {
	w := newWorld(t)
	f := form(t, page(t, w.page, ""), "do", "resize", "name", "sessions")
	for back, want := range map[string]string{
		"conns.sort=-id&conns.page=2":   "?conns.page=2&conns.sort=-id&done=resize",
		"https://evil.example/":         "?done=resize",
		"//evil.example":                "?done=resize",
		"x=1&conns.sort=%0d%0aX-Evil:1": "?conns.sort=%0D%0AX-Evil%3A1&done=resize",
		"%zz":                           "?done=resize",
	} {
		f.Set("back", back)
		r := post(w.page, f)
		require.Equal(t, 303, r.Code)
		require.Equal(t, want, r.Header().Get("Location"))
	}
	hasNot(t, page(t, w.page, "?done=%3Cb%3Eevil"), "evil")
}

// fixed is a backend that cannot be resized.
type fixed struct{ backend.Backend[*pool.Member] }

func TestResizeUnsupported(t *testing.T) {
	p := &debugpage.Page{AllowChanges: everybody}
	for name, c := range map[string]struct {
		config pool.Config
		max    string
		why    string
	}{
		"fixed": {pool.Config{Backend: func(f backend.Factory[*pool.Member], l backend.Limits) (backend.Backend[*pool.Member], error) {
			b, err := custompool.Open[*pool.Member](f, l)
			return fixed{b}, err
		}}, "5", "cannot be resized"},
		"idle": {pool.Config{MinIdle: 4}, "3", "MinIdle is larger than MaxConns"},
	} {
		of, err := pool.New(conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }}, c.config)
		require.NoError(t, err)
		defer of.Close()
		p.AddPool(name, of)
		f := form(t, page(t, p, ""), "do", "resize", "name", name)
		f.Set("max", c.max)
		r := post(p, f)
		require.Equal(t, 409, r.Code)
		require.Contains(t, r.Body.String(), c.why)
	}
}
