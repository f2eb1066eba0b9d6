package debugpage_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

func TestTables(t *testing.T) {
	p := &debugpage.Page{MaxRows: 10}
	p.AddPool("sessions", manyConns(95))
	for _, c := range []struct {
		query                string
		matched, page, pages int
		first                any // its number
	}{
		{"", 95, 1, 10, 1.0},
		{"?conns.page=2", 95, 2, 10, 11.0},
		{"?conns.page=10", 95, 10, 10, 91.0},
		{"?conns.page=11", 95, 10, 10, 91.0},
		{"?conns.page=0", 95, 1, 10, 1.0},
		{"?conns.page=-3", 95, 1, 10, 1.0},
		{"?conns.page=99999999999999999999", 95, 1, 10, 1.0},
		{"?conns.page=x", 95, 1, 10, 1.0},
		{"?conns.sort=-id", 95, 1, 10, 95.0},
		{"?conns.sort=id", 95, 1, 10, 1.0},
		{"?conns.sort=-uses", 95, 1, 10, 95.0},
		{"?conns.sort=-age&conns.page=2", 95, 2, 10, 85.0},
		{"?conns.sort=nothing", 95, 1, 10, 1.0},
		{"?conns.sort=--id", 95, 1, 10, 1.0},
		{"?conns.sort=state", 95, 1, 10, 2.0},
		{"?conns.sort=-state", 95, 1, 10, 1.0},
		{"?conns.filter=idle", 47, 1, 5, 2.0},
		{"?conns.filter=IDLE+Sessions", 47, 1, 5, 2.0},
		{"?conns.filter=in+use&conns.sort=-id", 48, 1, 5, 95.0},
		{"?conns.filter=nothing", 0, 1, 1, nil},
		{"?conns.filter=" + strings.Repeat("x", 201), 95, 1, 10, 1.0},
		{"?pools.page=2&clients.sort=-name", 95, 1, 10, 1.0},
	} {
		t.Run(c.query, func(t *testing.T) {
			got := tables(t, p, c.query)["conns"]
			require.Equal(t, []int{95, c.matched, c.page, c.pages}, []int{got.Total, got.Matched, got.Page, got.Pages})
			if c.first == nil {
				require.Empty(t, got.Rows)
				return
			}
			require.Equal(t, c.first, got.Rows[0]["id"])
			require.LessOrEqual(t, len(got.Rows), 10)
		})
	}
}

// What figures look like, from nothing to much.
func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10_000 * time.Hour)
		p := &debugpage.Page{}
		var conns []pool.ConnStat
		ages := []time.Duration{
			0, 900, 41500, 1500 * time.Microsecond, 999 * time.Millisecond, 59900 * time.Millisecond, 61 * time.Second,
			3 * time.Hour, 75 * time.Hour, -time.Second,
		}
		for i, age := range ages {
			conns = append(conns, pool.ConnStat{ID: uint64(i + 1), CreatedAt: time.Now().Add(-age), InUse: true, BytesRead: uint64(age), ExpiresAt: time.Now().Add(age)})
		}
		p.AddPool("x", &fakePool{conns: conns, stat: func() pool.Stat { return pool.Stat{Gets: 1_234_567} }})
		html := page(t, p, "?conns.sort=id")
		rows := strings.Split(html[strings.Index(html, `<section id="conns"`):], "<tr role")[2:]
		for i, want := range []string{"0 µs", "0 µs", "41 µs", "1.5 ms", "999 ms", "59.9 s", "1 m 01 s", "3 h 00 m", "3 d 03 h", "0 µs"} {
			has(t, rows[i], `data-title="Age" class="num">`+want+`<`, `data-title="Expires in" class="num">`+want+`<`)
		}
		for i, want := range []string{"0 B", "900 B", "41.5 kB", "1.5 MB", "999 MB", "59.9 GB", "61 GB", "10.8 TB", "270 TB"} {
			has(t, rows[i], `data-title="Received" class="num">`+want+`<`)
		}
		has(t, html, ">1,234,567<", ">none<", `data-title="Idle" class="num empty">–<`, `data-title="Uses" class="num">0<`)
	})
}

// A link changes one thing and keeps the rest of what the reader asked for, but
// nothing that is not the page's.
func TestLinks(t *testing.T) {
	p := &debugpage.Page{MaxRows: 10}
	p.AddPool("sessions", manyConns(95))
	html := page(t, p, "?conns.sort=-id&conns.page=3&pools.filter=ses&evil=%22%3E%3Cscript%3E")
	hasNot(t, html, "evil")
	for _, link := range []string{
		`id="conns-prev" href="?conns.page=2&amp;conns.sort=-id&amp;pools.filter=ses"`,
		`id="conns-next" href="?conns.page=4&amp;conns.sort=-id&amp;pools.filter=ses"`,
		`id="conns-by-id" href="?conns.sort=id&amp;pools.filter=ses"`,
		`id="conns-by-uses" href="?conns.sort=-uses&amp;pools.filter=ses"`,
		`id="conns-by-state" href="?conns.sort=state&amp;pools.filter=ses"`,
		`href="?conns.page=3&amp;conns.sort=-id&amp;format=json&amp;pools.filter=ses"`,
	} {
		has(t, html, link)
	}
	has(t, html, `aria-sort="descending"><a id="conns-by-id"`)
	has(t, page(t, p, "?conns.sort=id"), `aria-sort="ascending"><a id="conns-by-id"`)
	for query, links := range map[string][2]bool{"": {false, true}, "?conns.page=2": {true, true}, "?conns.page=10": {true, false}} {
		of := page(t, p, query)
		require.Equal(t, links, [2]bool{strings.Contains(of, `id="conns-prev"`), strings.Contains(of, `id="conns-next"`)})
	}
	has(t, html, "Page 3 of 10")
	has(t, html, "1 of 1 match the filter.")
}

// Ten thousand connections make the page no longer than a hundred.
func TestManyConnections(t *testing.T) {
	size := func(n int) int {
		p := &debugpage.Page{}
		p.AddPool("sessions", manyConns(n))
		return len(page(t, p, ""))
	}
	require.InDelta(t, size(101), size(10_000), 100)

	p := &debugpage.Page{}
	p.AddServer("api", &fakeServer{conns: make([]server.ConnStat, 100_007)})
	got := tables(t, p, "")["conns"]
	require.Equal(t, 100_007, got.Total)
	require.Equal(t, 100_000, got.Matched)
	has(t, page(t, p, ""), "Only the first 100,000 were read.", `Connections <span class="number">100,007</span>`)
}

// unquoted finds a handler of events in a tag, outside of quotes.
var unquoted = regexp.MustCompile(`<[a-z]+(?:\s+[a-z-]+(?:="[^"]*")?)*\s+on[a-z]+=`)

// What others can choose is shown as text: names, addresses, errors, and what a
// stranger puts into the query.
func TestHostileValues(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</style><script>`,
		"{{.Token}}", `javascript:alert(1)`, "\u202eevil\u0000\x1b[31m", "\xff\xfe", strings.Repeat("long", 100_000),
	} {
		p := &debugpage.Page{AllowChanges: everybody}
		p.AddPool(evil, &fakePool{conns: []pool.ConnStat{{ID: 1, LocalAddr: named(evil), RemoteAddr: named(evil)}}})
		p.AddServer(evil, &fakeServer{conns: []server.ConnStat{{ID: 1}}})
		html := page(t, p, "?conns.filter="+url.QueryEscape(evil[:min(len(evil), 150)]))
		html += page(t, p, "")
		require.Equal(t, 2, strings.Count(html, "<script"), "that of the page, twice")
		require.Empty(t, unquoted.FindAllString(html, -1))
		hasNot(t, html, "<img")
		html = aField.ReplaceAllString(html, "") // what a form sends back is as it came
		hasNot(t, html, "\u202e")
		hasNot(t, html, "\x1b")
		require.Less(t, len(html), 1_200_000)
		require.True(t, strings.HasPrefix(evil, "long") || len(html) < 100_000)
	}
}
