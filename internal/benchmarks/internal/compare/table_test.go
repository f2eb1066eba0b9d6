package compare_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   compare.Spread
	}{
		{[]float64{7}, compare.Spread{Min: 7, Median: 7, Max: 7}},
		{[]float64{9, 1}, compare.Spread{Min: 1, Median: 5, Max: 9}},
		{[]float64{5, 100, 1}, compare.Spread{Min: 1, Median: 5, Max: 100}},
		{[]float64{4, 1, 3, 2}, compare.Spread{Min: 1, Median: 2.5, Max: 4}},
	} {
		before := append([]float64(nil), c.values...)
		require.Equal(t, c.want, compare.SpreadOf(c.values))
		require.Equal(t, before, c.values, "the rounds keep their order")
	}
}

// noisy is a table in which the second round was slow for all: the ratios of
// one round are what they would be in another, those of the medians are not.
func noisy() compare.Table {
	return compare.Table{
		Title:    "Reading",
		Columns:  []string{"ns/op"},
		Compared: 1,
		Bases:    []string{"ours"},
		Rows: []compare.Row{
			{Name: "ours", Figures: [][]float64{{10, 1000, 10}}, Allocs: []float64{0, 0.001, 0}},
			{Name: "rival", Figures: [][]float64{{20, 2000, 3000}}, Allocs: []float64{2, 2, 2}},
			{Name: "other", Figures: [][]float64{{5, 900, 12_345_678}}, Allocs: []float64{0.1, 0.2, 0.03}},
		},
	}
}

func TestRatiosAreWithinARound(t *testing.T) {
	require.Equal(t, compare.Spread{Min: 2, Median: 2, Max: 300}, noisy().Ratio(0, "rival", "ours"))
	require.Equal(t, compare.Spread{Min: 1.0 / 300, Median: 0.5, Max: 0.5}, noisy().Ratio(0, "ours", "rival"))
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		goal    compare.Goal
		got     float64
		versus  string
		reached bool
	}{
		"ratio reached":          {compare.Goal{Of: "rival", To: []string{"ours"}, Want: compare.AtLeast(2)}, 2, "ours", true},
		"ratio missed":           {compare.Goal{Of: "rival", To: []string{"ours"}, Want: compare.AtLeast(2.01)}, 2, "ours", false},
		"least of several":       {compare.Goal{Of: "ours", To: []string{"other", "rival"}, Want: compare.AtLeast(0.6)}, 0.5, "rival", false},
		"most of several":        {compare.Goal{Of: "ours", To: []string{"rival", "other"}, Want: compare.AtMost(1.1)}, 10.0 / 9, "other", false},
		"as shown":               {compare.Goal{Of: "ours", To: []string{"other"}, Want: compare.AtMost(1.11)}, 10.0 / 9, "other", true},
		"allocations reached":    {compare.Goal{Of: "rival", Allocs: true, Want: compare.AtMost(2)}, 2, "", true},
		"allocations in slack":   {compare.Goal{Of: "other", Allocs: true, Want: compare.AtMost(0)}, 0.1, "", true},
		"allocations beyond it":  {compare.Goal{Of: "third", Allocs: true, Want: compare.AtMost(0)}, 0.11, "", false},
		"allocations missed":     {compare.Goal{Of: "rival", Allocs: true, Want: compare.AtMost(1)}, 2, "", false},
		"fewer allocations":      {compare.Goal{Of: "ours", To: []string{"rival"}, Allocs: true, Want: compare.AtMost(0.99)}, 0, "rival", true},
		"not more allocations":   {compare.Goal{Of: "rival", To: []string{"ours"}, Allocs: true, Want: compare.AtMost(0.99)}, math.Inf(1), "ours", false},
		"as many allocations":    {compare.Goal{Of: "ours", To: []string{"ours"}, Allocs: true, Want: compare.AtMost(1)}, 1, "ours", true},
		"figure reached":         {compare.Goal{Of: "ours", Want: compare.AtMost(10)}, 10, "", true},
		"figure missed":          {compare.Goal{Of: "ours", Want: compare.AtLeast(11)}, 10, "", false},
		"figure beyond at least": {compare.Goal{Of: "ours", Want: compare.AtLeast(9)}, 10, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			table := noisy()
			table.Rows = append(table.Rows, compare.Row{Name: "third", Figures: table.Rows[0].Figures, Allocs: []float64{0.11}})
			table.Goals = []compare.Goal{c.goal}
			v := table.Verdicts()
			require.Len(t, v, 1)
			require.True(t, c.got == v[0].Got || math.Abs(c.got-v[0].Got) < 1e-9, "got %v, want %v", v[0].Got, c.got)
			require.Equal(t, c.versus, v[0].Versus)
			require.Equal(t, c.reached, v[0].Reached)
		})
	}
}

func TestText(t *testing.T) {
	table := noisy()
	table.Bases = []string{"ours", "rival"}
	table.Goals = []compare.Goal{
		{Says: "twice as fast", Of: "rival", To: []string{"ours"}, Want: compare.AtLeast(2)},
		{Says: "fewer allocations", Of: "rival", To: []string{"ours"}, Allocs: true, Want: compare.AtMost(1)},
		{Says: "faster than all", Of: "ours", To: []string{"rival", "other"}, Want: compare.AtMost(1)},
	}
	require.Equal(t, strings.TrimPrefix(`
Reading
         ns/op  allocs/op  times ours (range)        times rival (range)
  ours   10     0          1                         0.50 (0 to 0.50)
  rival  2,000  2          2 (2 to 300)              1
  other  900    0.10       0.90 (0.50 to 1,234,568)  0.45 (0.25 to 4,115)
  reached: twice as fast: 2, wanted at least 2
  missed: fewer allocations: ∞, wanted at most 1
  missed: faster than all: 1.11 to other, wanted at most 1
`, "\n"), table.Text())
}

func TestMarkdown(t *testing.T) {
	require.Equal(t, strings.TrimPrefix(`
|  | ns/op | allocs/op | times ours (range) |
|---|---:|---:|---:|
| ours | 10 | 0 | 1 |
| rival | 2,000 | 2 | 2 (2 to 300) |
| other | 900 | 0.10 | 0.90 (0.50 to 1,234,568) |
`, "\n"), noisy().Markdown())
}

func TestAWithdrawnCandidateIsNotComparedWith(t *testing.T) {
	table := noisy()
	table.Bases = []string{"ours", "gone"}
	table.Rows = append(table.Rows[:2:2], compare.Row{Name: "gone", Figures: [][]float64{{1}}, Withdrawn: "stands still"})
	table.Goals = []compare.Goal{
		{Says: "ahead", Of: "rival", To: []string{"gone", "ours"}, Want: compare.AtLeast(2)},
		{Says: "alone", Of: "ours", To: []string{"gone"}, Want: compare.AtMost(1)},
		{Says: "itself", Of: "gone", Want: compare.AtMost(1)},
	}
	require.Equal(t, strings.TrimPrefix(`
Reading
         ns/op         allocs/op  times ours (range)  times gone (range)
  ours   10            0          1                   –
  rival  2,000         2          2 (2 to 300)        –
  gone   stands still
  reached: ahead: 2, wanted at least 2
  open: alone: gone stands still
  open: itself: gone stands still
`, "\n"), trimmed(table.Text()))
	require.Contains(t, table.Markdown(), "\n| gone | stands still |  |  |  |\n")
}

// trimmed is s without spaces at the end of lines.
func trimmed(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestOtherColumns(t *testing.T) {
	table := compare.Table{
		Title: "Latency", Columns: []string{"p99 µs", "p50 µs", "calls/s"}, Compared: 2, Bases: []string{"ours"},
		Rows: []compare.Row{
			{Name: "ours", Figures: [][]float64{{8}, {3}, {1000}}},
			{Name: "rival", Figures: [][]float64{{16}, {12}, {4000}}},
		},
		Goals: []compare.Goal{{Says: "median", Of: "rival", To: []string{"ours"}, Column: 1, Want: compare.AtLeast(4)}},
	}
	require.Equal(t, strings.TrimPrefix(`
Latency
         p99 µs  p50 µs  calls/s  p99 µs: times ours (range)  p50 µs: times ours (range)
  ours   8       3       1,000    1                           1
  rival  16      12      4,000    2 (2 to 2)                  4 (4 to 4)
  reached: median: 4, wanted at least 4
`, "\n"), table.Text())
}
