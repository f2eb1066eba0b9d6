package debugpage_test

import (
	"context"
	"encoding/json"
	"html"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

// get asks for the page with a query, and a header as pairs.
func get(p *debugpage.Page, query string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/debug/gtcp/"+query, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// table is a table as JSON has it.
type table struct {
	Total, Matched, Page, Pages int
	Rows                        []map[string]any
}

// tables asks for the page as JSON.
func tables(t *testing.T, p *debugpage.Page, query string) map[string]table {
	t.Helper()
	w := get(p, query, "Accept", "application/json")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &raw))
	all := map[string]table{}
	for key, v := range raw {
		var of table
		if key != "time" {
			require.NoError(t, json.Unmarshal(v, &of), key)
			all[key] = of
		}
	}
	return all
}

// column are the values of a column.
func column(of table, key string) (all []any) {
	for _, r := range of.Rows {
		all = append(all, r[key])
	}
	return all
}

// page asks for the page as HTML.
func page(t *testing.T, p *debugpage.Page, query string) string {
	t.Helper()
	w := get(p, query)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	return w.Body.String()
}

// has requires that a page has each of the texts. Its failure does not print the
// page, which is long.
func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.True(t, strings.Contains(page, text), "the page has no %q", text)
	}
}

// hasNot is the opposite.
func hasNot(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.False(t, strings.Contains(page, text), "the page has %q", text)
	}
}

// post sends a form.
func post(p *debugpage.Page, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/debug/gtcp/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

var (
	aForm  = regexp.MustCompile(`<form method="post".*?</form>`)
	aField = regexp.MustCompile(`<input [^>]*name="([^"]*)"[^>]*>`)
	aValue = regexp.MustCompile(` value="([^"]*)"`)
)

// forms are the forms of the page that change something.
func forms(page string) (all []url.Values) {
	for _, f := range aForm.FindAllString(page, -1) {
		v := url.Values{}
		for _, field := range aField.FindAllStringSubmatch(f, -1) {
			value := ""
			if m := aValue.FindStringSubmatch(field[0]); m != nil {
				value = html.UnescapeString(m[1])
			}
			v.Set(field[1], value)
		}
		all = append(all, v)
	}
	return all
}

// form is the first form of the page that has these values.
func form(t *testing.T, page string, pairs ...string) url.Values {
	t.Helper()
	i := slices.IndexFunc(forms(page), func(v url.Values) bool {
		for k := 0; k < len(pairs); k += 2 {
			if v.Get(pairs[k]) != pairs[k+1] {
				return false
			}
		}
		return true
	})
	require.GreaterOrEqual(t, i, 0, "no form with %q in %v", pairs, forms(page))
	return forms(page)[i]
}

func everybody(*http.Request) bool { return true }

// serve starts a server of frames.
func serve(t *testing.T, srv *server.Server) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if srv.Handler == nil {
		srv.Handler = server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	}
	srv.Logger = slog.New(slog.DiscardHandler)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		_ = srv.Shutdown(context.Background())
	})
	return l.Addr().String()
}

// fake is a pool, a pipeline or a server whose figures a test makes up.
type fake[S, C any] struct {
	stat  func() S
	conns []C
}

func (f *fake[S, C]) Stat() S {
	if f.stat == nil {
		var none S
		return none
	}
	return f.stat()
}

func (f *fake[S, C]) Conns() iter.Seq[C] { return slices.Values(f.conns) }

type (
	fakePool     = fake[pool.Stat, pool.ConnStat]
	fakePipeline = fake[pipeline.Stat, pipeline.ConnStat]
	fakeServer   = fake[server.Stat, server.ConnStat]
)

// named is an address.
type named string

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return string(n) }

// manyConns is a pool of n connections.
func manyConns(n int) *fakePool {
	p := &fakePool{}
	now := time.Now()
	for i := range n {
		p.conns = append(p.conns, pool.ConnStat{
			ID: uint64(i + 1), LocalAddr: named("local"), RemoteAddr: named("10.0." + time.Duration(i).String()),
			InUse: i%2 == 0, CreatedAt: now.Add(-time.Duration(i) * time.Second), Uses: uint64(i),
		})
	}
	return p
}
