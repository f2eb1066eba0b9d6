package outage_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// figures are what the exporter and the page show at one time: metrics by their
// names with labels, and rows of the page by their tables.
type figures struct {
	metrics map[string]float64
	page    map[string]struct{ Rows []map[string]any }
}

// look reads them.
func (w *world) look() figures {
	f := figures{metrics: map[string]float64{}}
	families, err := w.registry.Gather()
	require.NoError(w, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "name" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			name := family.GetName()
			if len(labels) > 0 {
				slices.Sort(labels)
				name += "{" + strings.Join(labels, ",") + "}"
			}
			f.metrics[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	r := httptest.NewRecorder()
	w.page.ServeHTTP(r, httptest.NewRequest("GET", "/?format=json", nil))
	require.Equal(w, 200, r.Code)
	var doc map[string]json.RawMessage
	require.NoError(w, json.Unmarshal(r.Body.Bytes(), &doc))
	delete(doc, "time")
	all, err := json.Marshal(doc)
	require.NoError(w, err)
	require.NoError(w, json.Unmarshal(all, &f.page))
	return f
}

// row is a row of a table of docs/outage.md: a figure, and what becomes of it.
type row struct{ figure, becomes string }

// sections reads the tables of the page, by heading.
func sections(t *testing.T) map[string][]row {
	text, err := os.ReadFile("../../docs/outage.md")
	require.NoError(t, err)
	line := regexp.MustCompile("^\\| `([^`]+)` \\| ([^|]+) \\|")
	found := map[string][]row{}
	heading := ""
	for l := range strings.Lines(string(text)) {
		if h, ok := strings.CutPrefix(l, "## "); ok {
			heading = strings.TrimSpace(h)
		}
		if m := line.FindStringSubmatch(l); m != nil {
			found[heading] = append(found[heading], row{m[1], strings.TrimSpace(m[2])})
		}
	}
	return found
}

// holds reports whether a row is true, of the figures before the outage, a quarter of
// a second ago and now, and says what was found.
func (r row) holds(t require.TestingT, before, lately, now figures) (bool, string) {
	if table, want, ok := strings.Cut(r.figure, ": "); ok {
		require.Equal(t, "is listed", r.becomes)
		return listed(now, table, want), ""
	}
	was, is := before.metrics[r.figure], now.metrics[r.figure]
	found := fmt.Sprintf("%g before, %g now", was, is)
	verb, number, _ := strings.Cut(r.becomes, " ")
	limit, err := strconv.ParseFloat(number, 64)
	switch {
	case r.becomes == "rises":
		return is > was, found
	case r.becomes == "stays":
		return is == lately.metrics[r.figure], found
	case verb == "above" && err == nil:
		return is > limit, found
	case verb == "below" && err == nil:
		return is < limit, found
	}
	exact, err := strconv.ParseFloat(r.becomes, 64)
	require.NoError(t, err, "a table cannot say %q", r.becomes)
	return is == exact, found
}

// listed reports whether a table of the page has a row in which each word is the
// beginning of some column: "errors: dial refused". Slow calls are listed by their
// longest phase.
func listed(f figures, table, words string) bool {
	for _, r := range f.page[table].Rows {
		if table == "slow" {
			if longest(r["phases"]) == words {
				return true
			}
			continue
		}
		if fits(r, strings.Split(words, ", ")) {
			return true
		}
	}
	return false
}

func fits(r map[string]any, words []string) bool {
	for _, word := range words {
		found := false
		for _, v := range r {
			s, ok := v.(string)
			found = found || ok && strings.HasPrefix(s, word)
		}
		if !found {
			return false
		}
	}
	return true
}

func longest(phases any) (name string) {
	most := 0.0
	all, _ := phases.(map[string]any)
	for k, v := range all {
		if took, _ := v.(float64); took > most {
			name, most = k, took
		}
	}
	return name
}
