package browser_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// cells are the texts of a column of a table.
func cells(b *tab, table, column string) []string {
	b.Helper()
	return eval[[]string](b, fmt.Sprintf(`(() => {
		const at = [...document.querySelectorAll("#%[1]s-table thead th")].findIndex(th => th.querySelector("#%[1]s-by-%[2]s"));
		return [...document.querySelectorAll("#%[1]s-table tbody tr")].map(tr => tr.children[at].textContent);
	})()`, table, column))
}

// numbers are the same as numbers.
func numbers(b *tab, table, column string) (all []int) {
	b.Helper()
	for _, s := range cells(b, table, column) {
		if s == "–" {
			s = "0"
		}
		n, err := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
		require.NoError(b, err)
		all = append(all, n)
	}
	return all
}

// query is a parameter of the page's address.
func query(b *tab, name string) string {
	b.Helper()
	at, err := url.Parse(eval[string](b, "location.href"))
	require.NoError(b, err)
	return at.Query().Get(name)
}

// The numbers of a page that is open move under load, without a reload.
func TestNumbersMove(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	b.see(p.url, 1280, 900, "light")
	eval[bool](b, `window.notReloaded = true`)
	before := numbers(b, "clients", "calls")
	for range 3 {
		b.until(fmt.Sprintf(`Number(document.querySelector("#clients-table tbody tr:nth-child(2)").children[4].textContent.replaceAll(",", "")) > %d`, before[1]))
		now := numbers(b, "clients", "calls")
		require.Greater(t, now[1], before[1], "orders")
		before = now
	}
	require.True(t, eval[bool](b, `window.notReloaded`))
	b.until(`!document.querySelector("#figures dd").textContent.includes("–")`) // calls a second
	b.until(`[...document.querySelectorAll("#errors-table tbody tr")].some(tr => tr.textContent.includes("refused"))`)
	b.until(`[...document.querySelectorAll("#slow-table tbody tr")].some(tr => tr.textContent.includes("handle"))`)

	// A pause is a pause.
	b.do(chromedp.Click(chromedp.CSS("#refresh")))
	require.Equal(t, "Resume", eval[string](b, `document.querySelector("#refresh").textContent`))
	b.do(chromedp.Click(chromedp.CSS("#refresh")))
	b.until(fmt.Sprintf(`Number(document.querySelector("#clients-table tbody tr:nth-child(2)").children[4].textContent.replaceAll(",", "")) > %d`, before[1]))
}

func TestSortAndFilter(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	b.see(p.url, 1280, 900, "light")
	b.until(`document.querySelectorAll("#conns-table tbody tr").length > 5`)

	b.do(chromedp.Click(chromedp.CSS("#conns-by-uses")))
	b.until(`document.querySelector("th:has(#conns-by-uses)").getAttribute("aria-sort") === "descending"`)
	uses := numbers(b, "conns", "uses")
	require.True(t, slices.IsSortedFunc(uses, func(a, b int) int { return b - a }), uses)
	require.Equal(t, "-uses", query(b, "conns.sort"))
	require.Equal(t, "conns-by-uses", eval[string](b, `document.activeElement.id`), "the focus stays")
	b.do(chromedp.Click(chromedp.CSS("#conns-by-uses")))
	b.until(`document.querySelector("th:has(#conns-by-uses)").getAttribute("aria-sort") === "ascending"`)
	uses = numbers(b, "conns", "uses")
	require.True(t, slices.IsSorted(uses), uses)

	b.do(chromedp.SendKeys(chromedp.CSS("#conns-filter"), "search client"))
	b.until(`new URL(location.href).searchParams.get("conns.filter") === "search client"`) // a part of it may come first
	b.until(`[...document.querySelectorAll("#conns-table tbody tr")].every(tr => tr.textContent.includes("search"))`)
	require.NotEmpty(t, cells(b, "conns", "name"))
	require.Equal(t, "uses", query(b, "conns.sort"), "the order stays")
	require.Equal(t, "search client", eval[string](b, `document.querySelector("#conns-filter").value`))
	require.Contains(t, eval[string](b, `document.querySelector("#conns-table caption").textContent`), "match the filter")

	b.do(chromedp.Clear(chromedp.CSS("#conns-filter")), chromedp.SendKeys(chromedp.CSS("#conns-filter"), "no such thing"))
	b.until(`!document.querySelector("#conns-table table")`)
}

// An evicted connection is gone, and the reader is back where he was.
func TestEvict(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	b.see(p.url+"?conns.filter=orders+"+url.QueryEscape(p.addr)+"&conns.sort=id", 1280, 900, "light")
	b.until(`document.querySelectorAll("#conns-table tbody tr").length > 0`)
	id := cells(b, "conns", "id")[0]
	const button = `#conns-table tbody tr:nth-child(1) .actions button`
	require.Contains(t, eval[string](b, fmt.Sprintf(`document.querySelector(%q).textContent`, button)), "Evict connection "+id+" of client orders")
	b.do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitVisible(chromedp.CSS("#done")))
	require.Contains(t, eval[string](b, `document.querySelector("#done").textContent`), "closed")
	require.Equal(t, "id", query(b, "conns.sort"))
	require.Empty(t, query(b, "done"), "a reload must not say so again")
	b.until(fmt.Sprintf(`document.querySelector("#conns-table table") && ![...document.querySelectorAll("#conns-table tbody tr")].some(tr => tr.children[2].textContent === %q)`, id))

	b.do(chromedp.SetValue(chromedp.CSS(`#pools-table tr:nth-child(2) input[name=max]`), "7"), chromedp.Submit(chromedp.CSS(`#pools-table tr:nth-child(2) input[name=max]`)), chromedp.WaitVisible(chromedp.CSS("#done")))
	b.until(`document.querySelector("#pools-table tr:nth-child(2)").textContent.includes("7")`)
	require.Contains(t, cells(b, "pools", "limit"), "7")
}

// Without its script the page sorts, filters and changes too.
func TestWithoutScript(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.see(p.url, 1280, 900, "light")
	text := func(selector string) string { return run(b, chromedp.TextContent(chromedp.CSS(selector))) }
	b.do(chromedp.Click(chromedp.CSS("#conns-by-uses")), chromedp.WaitVisible(chromedp.CSS(`th[aria-sort=descending] #conns-by-uses`)))
	b.do(chromedp.SendKeys(chromedp.CSS("#conns-filter"), "search"+kb.Enter), chromedp.WaitVisible(chromedp.CSS(`th[aria-sort=descending] #conns-by-uses`)),
		chromedp.WaitVisible(chromedp.CSS(`#conns-filter[value=search]`)))
	require.Contains(t, text("#conns-table caption"), "match the filter")
	b.do(chromedp.Click(chromedp.CSS(`#conns-table tbody tr:nth-child(1) .actions button`)), chromedp.WaitVisible(chromedp.CSS("#done")))
	require.Contains(t, text("#done"), "closed")
}

// The page fits a phone, in both schemes, and can be read.
func TestLooks(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	b.see(p.url, 1280, 900, "light")
	b.until(`document.querySelectorAll("#errors-table tbody tr").length > 1`)
	b.until(`!document.querySelector("#figures dd").textContent.includes("–")`)
	backs := map[string]bool{}
	for _, c := range []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"wide-light", 1280, 800, "light"}, {"wide-dark", 1280, 800, "dark"},
		{"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &tab{T: t, ctx: b.ctx}
			b.see(p.url, c.width, c.height, c.scheme)
			b.picture(c.name)
			require.LessOrEqual(t, eval[int](b, `document.documentElement.scrollWidth`), int(c.width), "it can be scrolled sideways")
			backs[eval[string](b, `getComputedStyle(document.body).backgroundColor`)] = true
			require.Empty(t, eval[[]string](b, faint), "text without contrast")
			if c.width < 500 {
				require.Empty(t, eval[[]string](b, small), "too small for a finger")
				require.Equal(t, "grid", eval[string](b, `getComputedStyle(document.querySelector("tbody tr")).display`))
			}
		})
	}
	require.Len(t, backs, 2, "dark is not light")
}

// faint lists the texts whose contrast is less than 4.5 to 1, as WCAG 2.1 counts.
const faint = `(() => {
	const parse = (s) => (s.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const back = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] > 0) return c;
		}
		return [255, 255, 255];
	};
	const found = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement;
		if (!n.textContent.trim() || !e.checkVisibility() || e.matches("script, style")) continue;
		const [a, b] = [light(parse(getComputedStyle(e).color)), light(back(e))];
		const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (contrast < 4.5) found.push(contrast.toFixed(2) + " " + e.tagName + " " + n.textContent.trim().slice(0, 40));
	}
	return found;
})()`

// small lists the buttons that are less than 24 pixels high, as WCAG 2.2 wants it.
const small = `[...document.querySelectorAll("button, input:not([type=hidden]), nav a")].filter(e => e.checkVisibility())
	.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80))`

// value is a text of the accessibility tree.
func value(v *accessibility.Value) (s string) {
	if v != nil {
		_ = json.Unmarshal(v.Value, &s)
	}
	return s
}

// A screen reader is told what is a table, a row, a heading, and what fields and
// buttons are for, on a wide screen and on a phone.
func TestScreenReader(t *testing.T) {
	b, p := newTab(t), newProgram(t)
	for _, width := range []int64{1280, 390} {
		b.see(p.url, width, 900, "light")
		b.until(`document.querySelectorAll("#errors-table tbody tr").length > 1`)
		want := eval[map[string]int](b, `({
			table: document.querySelectorAll("table").length, row: document.querySelectorAll("tr").length,
			columnheader: document.querySelectorAll("thead th").length, rowheader: document.querySelectorAll("tbody th").length,
		})`)
		b.do(chromedp.Click(chromedp.CSS("#refresh"))) // nothing changes while it is read
		got := map[string]int{}
		for _, n := range command(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			role, name := value(n.Role), value(n.Name)
			got[role]++
			switch role {
			case "button", "link", "searchbox", "spinbutton", "region", "table", "navigation":
				require.NotEmpty(t, name, "a %s without a name", role)
			}
		}
		for role, n := range want {
			require.NotZero(t, n)
			require.InDelta(t, n, got[role], 2, "%s at a width of %d", role, width)
		}
		require.Equal(t, 1, got["main"])
		require.Equal(t, 1, got["banner"])
	}
	require.Empty(t, eval[[]string](b, `[...document.querySelectorAll("table")].filter(t => !t.caption).map(t => t.outerHTML.slice(0, 80))`))
	require.Empty(t, eval[[]string](b, `[...document.querySelectorAll("th")].filter(t => !t.scope).map(t => t.outerHTML)`))
	require.Equal(t, "en", eval[string](b, `document.documentElement.lang`))
	require.Equal(t, 1, eval[int](b, `document.querySelectorAll("h1").length`))
}
