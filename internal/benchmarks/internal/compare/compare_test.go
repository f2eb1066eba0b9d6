package compare_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// counted is a candidate that notes each of its turns in order.
func counted(name string, order *[]string) compare.Candidate {
	return compare.Candidate{Name: name, Measure: func(time.Duration) ([]float64, error) {
		*order = append(*order, name)
		return []float64{float64(len(*order))}, nil
	}}
}

func TestRoundsInterleave(t *testing.T) {
	const rounds = 60
	var order []string
	table, err := compare.Comparison{Candidates: []compare.Candidate{
		counted("a", &order), counted("b", &order), counted("c", &order),
	}}.Run(compare.Settings{Rounds: rounds, Length: time.Second})
	require.NoError(t, err)
	require.Len(t, order, 3*(rounds+1), "a turn for warmth and one in each round")

	first := map[string]int{}
	for round := range slices.Chunk(order[3:], 3) {
		require.ElementsMatch(t, []string{"a", "b", "c"}, round, "each has one turn in a round")
		first[round[0]]++
	}
	require.Len(t, first, 3, "60 rounds, and one candidate never went first")

	for i, row := range table.Rows {
		require.Equal(t, string("abc"[i]), row.Name, "the table keeps the order of the candidates")
		require.Len(t, row.Figures[0], rounds)
		for round, figure := range row.Figures[0] {
			require.Equal(t, row.Name, order[int(figure)-1])
			require.Equal(t, round+1, (int(figure)-1)/3, "figures of one round stay together")
		}
	}
}

func TestAFreshCandidateHasNoTurnToWarmUp(t *testing.T) {
	for fresh, want := range map[bool]int{false: 4, true: 3} {
		turns := 0
		measure := func(time.Duration) ([]float64, error) { turns++; return []float64{1}, nil }
		table, err := compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Fresh: fresh, Measure: measure}}}.Run(compare.Settings{Rounds: 3, Length: 1})
		require.NoError(t, err)
		require.Equal(t, want, turns)
		require.Len(t, table.Rows[0].Figures[0], 3)
	}
}

func TestDoIsTimedPerOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns []int
		sleeper := func(name string, each time.Duration) compare.Candidate {
			return compare.Candidate{Name: name, Do: func(n int) error {
				turns = append(turns, n)
				time.Sleep(time.Duration(n) * each)
				return nil
			}}
		}
		table, err := compare.Comparison{Candidates: []compare.Candidate{
			sleeper("fast", time.Microsecond), sleeper("slow", 3*time.Microsecond), sleeper("slowest", time.Minute),
		}}.Run(compare.Settings{Rounds: 2, Length: 30 * time.Millisecond})
		require.NoError(t, err)
		require.Equal(t, []float64{1000, 1000}, table.Rows[0].Figures[0])
		require.Equal(t, []float64{3000, 3000}, table.Rows[1].Figures[0])
		require.Equal(t, 3.0, table.Ratio(0, "slow", "fast").Median)
		slices.Sort(turns[len(turns)-6:])
		require.Equal(t, []int{1, 1, 10_000, 10_000, 30_000, 30_000}, turns[len(turns)-6:],
			"each turn takes the length, or one operation")
	})
}

func TestPreparationIsNotTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prepared := 0
		table, err := compare.Comparison{Candidates: []compare.Candidate{{
			Name: "a",
			Prepare: func() error {
				prepared++
				time.Sleep(time.Second)
				return nil
			},
			Do: func(n int) error {
				require.Equal(t, 1, n)
				require.Equal(t, 1, prepared, "one preparation before each operation")
				prepared = 0
				time.Sleep(time.Millisecond)
				return nil
			},
		}}}.Run(compare.Settings{Rounds: 2, Length: 10 * time.Millisecond})
		require.NoError(t, err)
		require.Equal(t, []float64{1e6, 1e6}, table.Rows[0].Figures[0])
	})
}

func TestAWithdrawnCandidateGetsNoMoreTurns(t *testing.T) {
	turns := map[string]int{}
	lasting := func(name string, lasts int) compare.Candidate {
		return compare.Candidate{Name: name, Measure: func(time.Duration) ([]float64, error) {
			if turns[name]++; turns[name] > lasts {
				return nil, fmt.Errorf("wrapped: %w", compare.Withdrawn{Why: "stands still"})
			}
			return []float64{1}, nil
		}}
	}
	table, err := compare.Comparison{Candidates: []compare.Candidate{
		lasting("whole", 100), lasting("early", 0), lasting("late", 3),
	}}.Run(compare.Settings{Rounds: 5, Length: 1})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"whole": 6, "early": 1, "late": 4}, turns)
	require.Empty(t, table.Rows[0].Withdrawn)
	require.Equal(t, "stands still", table.Rows[1].Withdrawn)
	require.Equal(t, "stands still", table.Rows[2].Withdrawn)
}

func TestCallersShareTheOperations(t *testing.T) {
	for _, n := range []int{0, 1, 5, 63, 64, 1000, 100_001} {
		for _, k := range []int{1, 2, 32} {
			var done atomic.Int64
			require.NoError(t, compare.Callers(k, func(n int) error {
				require.Positive(t, n)
				done.Add(int64(n))
				return nil
			})(n))
			require.Equal(t, int64(n), done.Load(), "%d operations by %d callers", n, k)
		}
	}
}

func TestCallersCallAtOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, compare.Callers(8, func(n int) error {
			time.Sleep(time.Duration(n) * time.Second)
			return nil
		})(640))
		require.Equal(t, 80*time.Second, time.Since(start))
	})
}

func TestCallersStopAtTheFirstError(t *testing.T) {
	failed := errors.New("failed")
	calls := 0
	require.ErrorIs(t, compare.Callers(1, func(int) error { calls++; return failed })(1000), failed)
	require.Equal(t, 1, calls)
}

var kept []*[64]byte

func TestAllocsAreCountedPerOperation(t *testing.T) {
	table, err := compare.Comparison{Allocs: true, Candidates: []compare.Candidate{
		{Name: "none", Do: func(n int) error {
			for range n {
				kept = kept[:0]
			}
			return nil
		}},
		{Name: "two", Do: func(n int) error {
			for range n {
				kept = append(kept[:0], new([64]byte), new([64]byte))
			}
			return nil
		}},
		{Name: "unknown", Measure: func(time.Duration) ([]float64, error) { return []float64{1}, nil }},
	}}.Run(compare.Settings{Rounds: 5, Length: time.Millisecond})
	require.NoError(t, err)
	require.InDelta(t, 0, compare.SpreadOf(table.Rows[0].Allocs).Median, 0.01)
	require.InDelta(t, 2, compare.SpreadOf(table.Rows[1].Allocs).Median, 0.01)
	require.Empty(t, table.Rows[2].Allocs)
}

func TestProcessorTimeIsAColumn(t *testing.T) {
	table, err := compare.Comparison{CPU: true, Candidates: []compare.Candidate{
		{Name: "sleeps", Do: func(n int) error { time.Sleep(time.Duration(n) * time.Millisecond); return nil }},
		{Name: "works", Do: func(n int) error {
			for start := time.Now(); time.Since(start) < time.Duration(n)*time.Millisecond; {
			}
			return nil
		}},
	}}.Run(compare.Settings{Rounds: 3, Length: 20 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, []string{"ns/op", "CPU ns/op"}, table.Columns)
	require.Equal(t, 2, table.Compared)
	if runtime.GOOS == "linux" {
		require.Less(t, table.Ratio(1, "sleeps", "works").Median, 0.5, "sleeping uses no processor")
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	fixed := func(name string, figures ...float64) compare.Candidate {
		return compare.Candidate{Name: name, Measure: func(time.Duration) ([]float64, error) { return figures, nil }}
	}
	do := func(int) error { return nil }
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		is   compare.Comparison
		says string
	}{
		"nobody":   {compare.Comparison{}, "no candidates"},
		"twins":    {compare.Comparison{Candidates: []compare.Candidate{fixed("a", 1), fixed("a", 1)}}, `two candidates are named "a"`},
		"neither":  {compare.Comparison{Candidates: []compare.Candidate{{Name: "a"}}}, "a: want one of Do and Measure"},
		"few":      {compare.Comparison{Columns: []string{"x", "y"}, Candidates: []compare.Candidate{fixed("a", 1)}}, "1 figures for 2 columns"},
		"one":      {compare.Comparison{Columns: []string{"x", "y"}, Candidates: []compare.Candidate{{Name: "a", Do: do}}}, "1 figures for 2 columns"},
		"cpu":      {compare.Comparison{CPU: true, Candidates: []compare.Candidate{fixed("a", 1)}}, "processor time is for a Do alone"},
		"column":   {compare.Comparison{Goals: []compare.Goal{{Of: "a", Column: 1}}, Candidates: []compare.Candidate{fixed("a", 1)}}, "column 1 of 1"},
		"base":     {compare.Comparison{Bases: []string{"b"}, Candidates: []compare.Candidate{fixed("a", 1)}}, `no candidate is named "b"`},
		"goal":     {compare.Comparison{Goals: []compare.Goal{{Of: "a", To: []string{"c"}}}, Candidates: []compare.Candidate{fixed("a", 1)}}, `no candidate is named "c"`},
		"uncount":  {compare.Comparison{Goals: []compare.Goal{{Of: "a", Allocs: true}}, Candidates: []compare.Candidate{fixed("a", 1)}}, "not counted"},
		"fresh":    {compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Fresh: true, Do: func(int) error { return nil }}}}, "Fresh without Measure"},
		"prepare":  {compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Prepare: func() error { return nil }, Measure: fixed("", 1).Measure}}}, "Prepare without Do"},
		"prepared": {compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Prepare: func() error { return failed }, Do: do}}}, "a: failed"},
		"failure":  {compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Do: func(int) error { return failed }}}}, "a: failed"},
		"measured": {compare.Comparison{Candidates: []compare.Candidate{{Name: "a", Measure: func(time.Duration) ([]float64, error) { return nil, failed }}}}, "a: failed"},
	} {
		t.Run(name, func(t *testing.T) {
			c.is.Title = "the title"
			_, err := c.is.Run(compare.Settings{Rounds: 1, Length: time.Millisecond})
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "the title: ")
		})
	}
	for _, s := range []compare.Settings{{Rounds: 1}, {Length: 1}, {Rounds: -1, Length: 1}} {
		_, err := compare.Comparison{Candidates: []compare.Candidate{fixed("a", 1)}}.Run(s)
		require.ErrorContains(t, err, "rounds and length must be positive")
	}
}

func TestTablesTravelAsJSON(t *testing.T) {
	var titles []string
	var failed error
	for table, err := range compare.Tables(bytes.NewBufferString(`{"Title":"a"} {"Title":"b"} {"Title":`)) {
		titles = append(titles, table.Title)
		failed = err
	}
	require.Equal(t, []string{"a", "b", ""}, titles)
	require.ErrorContains(t, failed, "reading a table")

	for table, err := range compare.Tables(bytes.NewBufferString(`{"Title":"a"} {"Title":"b"}`)) {
		require.NoError(t, err)
		require.Equal(t, "a", table.Title)
		break
	}
}
