package debugpage

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// column is one figure of the rows of a table.
type column struct {
	key   string // in the query and in JSON
	title string // empty: in JSON only
	as    look
}

// look is how a column is shown and sorted.
type look uint8

const (
	letters look = iota // sorted by its text
	prose               // the same, and needs more room
	digits              // sorted by its number, the largest first when a reader asks
)

func (c column) num() bool { return c.as == digits }

// cell is one figure of one row. Its text is made when it is shown: a table can have
// many more rows than a page.
type cell struct {
	as    unit
	said  string   // the text, if as is words
	addr  net.Addr // the address, if as is addrUnit
	order float64  // the number
	value any      // in JSON, where it is not the number or the text
}

// row is what a table says of one thing.
type row struct {
	cells []cell
	mark  string // "bad", "warn" or nothing
	of    any    // the pool, pipeline or server that the row is about, if it can be changed
	id    poolID
	conn  uint64 // the number of its connection that the row is about, or 0
}

// table has the rows before they are filtered, sorted and cut.
type table struct {
	key     string
	title   string
	head    string // the column that names a row
	about   string // a sentence for those who see it for the first time
	order   string // of a reader who asks for none
	columns []column
	rows    []row
	unread  int // rows that were left out because there are too many
}

// The parameters of a table in the query, behind its key and a point.
const (
	sortParam   = "sort"   // a column's key, with a minus for the largest first
	pageParam   = "page"   // counted from 1
	filterParam = "filter" // words that a row must have
)

// maxFilter is how long a filter may be.
const maxFilter = 200

// knownParams are the parameters of q that tables have. Others are dropped, so
// that no link repeats what a stranger has put into it.
func knownParams(q url.Values, keys []string) url.Values {
	known := url.Values{}
	for _, key := range keys {
		for _, name := range []string{sortParam, pageParam, filterParam} {
			if v := q.Get(key + "." + name); v != "" && len(v) <= maxFilter {
				known.Set(key+"."+name, v)
			}
		}
	}
	return known
}

// shown is the part of a table that one reader asked for.
type shown struct {
	*table
	filter  string
	sorted  string // the column's key, with a minus for the largest first
	page    int
	pages   int
	matched []row // all that fit the filter
	part    []row // those of the page
}

// show filters, sorts and cuts, as the query says.
func (t *table) show(q url.Values, max int) shown {
	s := shown{table: t, filter: q.Get(t.key + "." + filterParam), sorted: q.Get(t.key + "." + sortParam)}
	s.matched = t.match(s.filter)
	column, falling := t.column(s.sorted)
	if column < 0 {
		s.sorted = t.order
		column, falling = t.column(s.sorted)
	}
	if column >= 0 {
		sortRows(s.matched, column, t.columns[column].num(), falling)
	}
	s.pages = max1((len(s.matched) + max - 1) / max)
	page, err := strconv.Atoi(q.Get(t.key + "." + pageParam))
	if err != nil {
		page = 1
	}
	s.page = min(max1(page), s.pages)
	from := (s.page - 1) * max
	s.part = s.matched[from:min(from+max, len(s.matched))]
	return s
}

func max1(n int) int { return max(n, 1) }

// match returns the rows that have each word of the filter in some cell.
func (t *table) match(filter string) []row {
	words := strings.Fields(strings.ToLower(filter))
	if len(words) == 0 {
		return slices.Clone(t.rows)
	}
	var found []row
	for _, r := range t.rows {
		if r.has(words) {
			found = append(found, r)
		}
	}
	return found
}

func (r *row) has(words []string) bool {
	for _, word := range words {
		if !slices.ContainsFunc(r.cells, func(c cell) bool { return strings.Contains(strings.ToLower(c.text()), word) }) {
			return false
		}
	}
	return true
}

// column finds the column of a sort parameter, -1 if there is none.
func (t *table) column(sorted string) (index int, falling bool) {
	key, falling := strings.CutPrefix(sorted, "-")
	return slices.IndexFunc(t.columns, func(c column) bool { return c.key == key }), falling
}

func sortRows(rows []row, column int, num, falling bool) {
	type key struct {
		number float64
		text   string
		at     int // its place before, which keeps the order of equals
	}
	keys := make([]key, len(rows))
	for i, r := range rows {
		keys[i] = key{number: r.cells[column].order, at: i}
		if !num {
			keys[i] = key{text: strings.ToLower(r.cells[column].text()), at: i}
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if falling {
			return cmp.Or(cmp.Compare(b.number, a.number), cmp.Compare(b.text, a.text), cmp.Compare(a.at, b.at))
		}
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text), cmp.Compare(a.at, b.at))
	})
	before := slices.Clone(rows)
	for i, k := range keys {
		rows[i] = before[k.at]
	}
}

// next is the sort parameter of a reader who asks for a column again: the other
// way round. The first time numbers fall and texts rise.
func (s *shown) next(c column) string {
	switch {
	case s.sorted == c.key, s.sorted != "-"+c.key && c.num():
		return "-" + c.key
	}
	return c.key
}

// link is the query q with one parameter of the table changed.
func (s *shown) link(q url.Values, name, value string) string {
	changed := url.Values{}
	for k, v := range q {
		changed[k] = v
	}
	if name != pageParam {
		changed.Del(s.key + "." + pageParam)
	}
	changed.Set(s.key+"."+name, value)
	return "?" + changed.Encode()
}
