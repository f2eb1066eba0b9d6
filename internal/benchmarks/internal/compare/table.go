package compare

import (
	"math"
	"slices"
)

// A Table is what a comparison found.
type Table struct {
	Title    string
	Columns  []string
	Compared int // columns that are shown as ratios
	Bases    []string
	Settings Settings
	Rows     []Row
	Goals    []Goal
}

// A Row is what a comparison found about one candidate.
type Row struct {
	Name      string
	Ours      bool        `json:",omitempty"` // a candidate of this module, see Program
	Figures   [][]float64 // by column, then by round; fewer where Withdrawn
	Allocs    []float64   // per operation, by round; empty where not counted
	Withdrawn string      `json:",omitempty"` // why, if it did not go on
}

// A Spread is the least, the median and the greatest of some numbers.
type Spread struct{ Min, Median, Max float64 }

// SpreadOf returns the spread of values, of which there must be one at least.
// The median of an even number of them is the mean of the middle two.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[n-1]}
}

// Ratio is the spread, over the rounds, of how many times as large the figure
// of one candidate in a column is as that of another in the same round. Both
// must be in the table and have stayed to the end.
func (t Table) Ratio(column int, of, to string) Spread {
	a, b := t.row(of).Figures[column], t.row(to).Figures[column]
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return SpreadOf(ratios)
}

func (t Table) row(name string) Row {
	return t.Rows[slices.IndexFunc(t.Rows, func(r Row) bool { return r.Name == name })]
}

// A Goal is a limit that a comparison was asked to meet: on a figure of a
// candidate, or on its ratio to those of others.
type Goal struct {
	Ref  string // where it was asked for
	Says string // what was asked for, in words
	Of   string // a candidate
	// To are the candidates with which Of is compared. Each of the ratios must
	// meet the limit. None means that the figure itself must.
	To     []string
	Column int  // of the figure
	Allocs bool // the figure is the allocations, whatever Column says
	Want   Limit
}

// A Limit is the greatest or the least that a number may be.
type Limit struct {
	Greatest bool
	Number   float64
}

// AtMost is the limit that a number must not exceed.
func AtMost(x float64) Limit { return Limit{true, x} }

// AtLeast is the limit below which a number must not be.
func AtLeast(x float64) Limit { return Limit{false, x} }

// holds compares as many digits as are shown, so that what a reader sees is
// what was judged.
func (l Limit) holds(x float64) bool {
	scale := math.Pow10(digits(x))
	x = math.Round(x*scale) / scale
	return x == l.Number || (x < l.Number) == l.Greatest
}

// AllocSlack is by how much a limit on allocations may be exceeded. They are
// counted for the whole process, and collections empty its pools.
const AllocSlack = 0.1

// A Verdict says whether a goal was reached.
type Verdict struct {
	Goal
	Got     float64 // a median: of the ratio hardest to meet, where To has several
	Versus  string  // the candidate of that ratio
	Reached bool
	Open    string // why nothing was measured, if so
}

// Verdicts judges the table's goals. Candidates that have withdrawn are not
// compared with; a goal that has only such is neither reached nor missed.
func (t Table) Verdicts() []Verdict {
	var all []Verdict
	for _, g := range t.Goals {
		all = append(all, t.judge(g))
	}
	return all
}

func (t Table) judge(g Goal) Verdict {
	v, row := Verdict{Goal: g}, t.row(g.Of)
	v.To = nil
	for _, to := range g.To {
		if t.row(to).Withdrawn == "" {
			v.To = append(v.To, to)
		}
	}
	switch {
	case row.Withdrawn != "":
		v.Open = row.Name + " " + row.Withdrawn
		return v
	case len(g.To) == 0 && g.Allocs:
		v.Got = SpreadOf(row.Allocs).Median
	case len(g.To) == 0:
		v.Got = SpreadOf(row.Figures[g.Column]).Median
	case len(v.To) == 0:
		v.Open = g.To[0] + " " + t.row(g.To[0]).Withdrawn
		return v
	default:
		v.Got, v.Versus = t.hardest(v.Goal)
	}
	limit := g.Want
	if g.Allocs && len(g.To) == 0 && limit.Greatest {
		limit.Number += AllocSlack
	}
	v.Reached = limit.holds(v.Got)
	return v
}

// hardest returns the ratio that is farthest on the wrong side of the limit.
func (t Table) hardest(g Goal) (got float64, versus string) {
	for _, to := range g.To {
		ratio := t.goalRatio(g, to)
		if versus == "" || (ratio > got) == g.Want.Greatest {
			got, versus = ratio, to
		}
	}
	return got, versus
}

// goalRatio is a goal's ratio to one candidate. Allocations do not vary as time
// does: theirs is that of the medians, and of none to none it is 1.
func (t Table) goalRatio(g Goal, to string) float64 {
	if !g.Allocs {
		return t.Ratio(g.Column, g.Of, to).Median
	}
	a, b := SpreadOf(t.row(g.Of).Allocs).Median, SpreadOf(t.row(to).Allocs).Median
	if a == b {
		return 1
	}
	return a / b
}
