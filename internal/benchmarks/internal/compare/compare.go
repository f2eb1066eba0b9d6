// Package compare is the one way in which the benchmarks compare candidates.
//
// A machine that does other things besides makes any two runs differ by more
// than what they compare. So candidates take turns: each round gives every
// candidate one turn, in random order, and a candidate is compared with another
// by the ratios of their figures in the same round. A table shows the median of
// those ratios with the least and the greatest, which say how far to trust it.
package compare

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Candidate is one of the things compared. Either Do or Measure is set.
type Candidate struct {
	Name string
	// Do performs n operations. Its time per operation is the figure; n is
	// chosen for a turn to take about Settings.Length.
	Do func(n int) error
	// Prepare, if set, goes before each operation of Do, outside its time. It
	// should not allocate where allocations are counted.
	Prepare func() error
	// Measure takes a turn of about the given length and returns a figure for
	// each of the comparison's Columns.
	Measure func(length time.Duration) ([]float64, error)
	// Fresh says that each turn of Measure begins anew, with a server or clients of
	// its own: a turn to warm up would be of no use.
	Fresh bool
}

// Withdrawn is the error of a candidate that cannot go on, in a way that is its
// own fault and not the benchmark's: it gets no more turns, and the table says
// why. Any other error ends the comparison.
type Withdrawn struct{ Why string }

func (w Withdrawn) Error() string { return w.Why }

// A Comparison is a set of candidates that take turns.
type Comparison struct {
	Title string
	// Columns are what the figures are, with their unit. None means "ns/op", and
	// with CPU "CPU ns/op" as well.
	Columns []string
	// Compared is how many of the columns, from the first, are shown as ratios
	// too; of the others only the median is. Zero means one, and with CPU two.
	Compared int
	// Bases are the candidates with whose figures the others' are compared.
	// None means the first candidate.
	Bases []string
	// Allocs says whether to count heap allocations per operation, those of
	// the whole process, in the turns of candidates that have a Do.
	Allocs bool
	// CPU says whether to take the processor time of the whole process as well,
	// which a busy machine disturbs less (Unix only). It is for candidates that
	// have a Do without Prepare.
	CPU        bool
	Candidates []Candidate
	Goals      []Goal
}

// Settings say how long to measure.
type Settings struct {
	Rounds int           // turns of each candidate; at least 1
	Length time.Duration // about how long a turn takes; positive
}

// Run gives each candidate a turn to warm up, unless it is Fresh, then
// Settings.Rounds turns.
func (c Comparison) Run(s Settings) (Table, error) {
	if err := c.complete(s); err != nil {
		return Table{}, fmt.Errorf("%s: %w", c.Title, err)
	}
	t := Table{Title: c.Title, Columns: c.Columns, Compared: c.Compared, Bases: c.Bases, Goals: c.Goals, Settings: s}
	turns := make([]func() (turn, error), len(c.Candidates))
	for i, candidate := range c.Candidates {
		t.Rows = append(t.Rows, Row{Name: candidate.Name, Figures: make([][]float64, len(c.Columns))})
		var err error
		turns[i], err = candidate.warm(s.Length)
		if err := t.Rows[i].withdraw(err); err != nil {
			return Table{}, fmt.Errorf("%s: %s: %w", c.Title, candidate.Name, err)
		}
	}
	for range s.Rounds {
		for _, i := range rand.Perm(len(turns)) {
			if err := t.Rows[i].take(turns[i], c); err != nil {
				return Table{}, fmt.Errorf("%s: %s: %w", c.Title, t.Rows[i].Name, err)
			}
		}
	}
	return t, nil
}

// complete fills in what was left out, and finds what cannot be meant before
// time is spent on measuring.
func (c *Comparison) complete(s Settings) error {
	if s.Rounds < 1 || s.Length <= 0 {
		return errors.New("rounds and length must be positive")
	}
	if len(c.Candidates) == 0 {
		return errors.New("no candidates")
	}
	if len(c.Columns) == 0 {
		c.Columns = []string{"ns/op"}
		if c.CPU {
			c.Columns = append(c.Columns, "CPU ns/op")
			c.Compared = max(c.Compared, 2)
		}
	}
	c.Compared = max(c.Compared, 1)
	if len(c.Bases) == 0 {
		c.Bases = []string{c.Candidates[0].Name}
	}
	var names []string
	for _, candidate := range c.Candidates {
		if slices.Contains(names, candidate.Name) {
			return fmt.Errorf("two candidates are named %q", candidate.Name)
		}
		if (candidate.Do == nil) == (candidate.Measure == nil) {
			return fmt.Errorf("%s: want one of Do and Measure", candidate.Name)
		}
		if candidate.Fresh && candidate.Measure == nil {
			return fmt.Errorf("%s: Fresh without Measure", candidate.Name)
		}
		if candidate.Prepare != nil && candidate.Do == nil {
			return fmt.Errorf("%s: Prepare without Do", candidate.Name)
		}
		if c.CPU && (candidate.Do == nil || candidate.Prepare != nil) {
			return fmt.Errorf("%s: processor time is for a Do alone", candidate.Name)
		}
		names = append(names, candidate.Name)
	}
	wanted := slices.Clone(c.Bases)
	for _, g := range c.Goals {
		wanted = append(append(wanted, g.Of), g.To...)
		if g.Allocs && !c.Allocs {
			return fmt.Errorf("goal %q is of allocations, which are not counted", g.Says)
		}
		if g.Column >= len(c.Columns) {
			return fmt.Errorf("goal %q is of column %d of %d", g.Says, g.Column, len(c.Columns))
		}
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no candidate is named %q", name)
		}
	}
	return nil
}

// turn is what one turn found.
type turn struct {
	figures []float64
	cpu     float64 // nanoseconds per operation; zero where unknown
	allocs  float64 // per operation; negative where unknown
}

// warm lets a candidate run for about the given length and returns what takes
// its turns.
func (c Candidate) warm(length time.Duration) (func() (turn, error), error) {
	if c.Measure != nil {
		measure := func() (turn, error) {
			figures, err := c.Measure(length)
			return turn{figures: figures, allocs: -1}, err
		}
		if c.Fresh {
			return measure, nil
		}
		_, err := measure()
		return measure, err
	}
	n, err := c.calibrate(length)
	return func() (turn, error) { return c.timed(n) }, err
}

// calibrate returns how many operations take about the given length.
func (c Candidate) calibrate(length time.Duration) (int, error) {
	for n, sure := 1, false; ; {
		took, err := c.time(n)
		if err != nil {
			return 0, err
		}
		estimate := max(1, int(float64(n)*float64(length)/float64(max(took, 1))))
		if sure {
			return estimate, nil
		}
		// A short look says little: it leads to a longer one. The first that took
		// a good part of the length may have been the slow start of a candidate
		// that dials first; one more turn decides.
		sure = took >= length/4
		n = min(estimate, 100*n)
	}
}

// time is how long n operations take.
func (c Candidate) time(n int) (took time.Duration, err error) {
	if c.Prepare == nil {
		start := time.Now()
		err = c.Do(n)
		return time.Since(start), err
	}
	for range n {
		if err = c.Prepare(); err != nil {
			return took, err
		}
		start := time.Now()
		err = c.Do(1)
		took += time.Since(start)
		if err != nil {
			return took, err
		}
	}
	return took, nil
}

func (c Candidate) timed(n int) (turn, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := ProcessorTime()
	took, err := c.time(n)
	used = ProcessorTime() - used
	runtime.ReadMemStats(&after)
	per := func(x float64) float64 { return x / float64(n) }
	return turn{
		figures: []float64{per(float64(took.Nanoseconds()))},
		cpu:     per(float64(used.Nanoseconds())),
		allocs:  per(float64(after.Mallocs - before.Mallocs)),
	}, err
}

// take adds a turn to the row, unless the candidate has withdrawn.
func (r *Row) take(next func() (turn, error), c Comparison) error {
	if r.Withdrawn != "" {
		return nil
	}
	got, err := next()
	if err != nil {
		return r.withdraw(err)
	}
	if c.CPU {
		got.figures = append(got.figures, got.cpu)
	}
	if len(got.figures) != len(r.Figures) {
		return fmt.Errorf("%d figures for %d columns", len(got.figures), len(r.Figures))
	}
	for i, figure := range got.figures {
		r.Figures[i] = append(r.Figures[i], figure)
	}
	if c.Allocs && got.allocs >= 0 {
		r.Allocs = append(r.Allocs, got.allocs)
	}
	return nil
}

// withdraw notes that the candidate has withdrawn, or returns the error.
func (r *Row) withdraw(err error) error {
	var w Withdrawn
	if errors.As(err, &w) {
		r.Withdrawn = w.Why
		return nil
	}
	return err
}

// Callers returns a function that performs n operations by k goroutines at a
// time, each of which performs some of them by do. All are busy to the end: a
// goroutine whose operations are quick performs more of them. It returns the
// first error, after which no more operations begin.
func Callers(k int, do func(n int) error) func(n int) error {
	return func(n int) error {
		share := min(64, max(1, n/(8*k)))
		var next atomic.Int64
		var first error
		var once sync.Once
		var failed atomic.Bool
		var wg sync.WaitGroup
		wg.Add(k)
		// One function for all, since wg.Go allocates for each and that would be
		// counted as the candidate's.
		caller := func() {
			defer wg.Done()
			for !failed.Load() {
				left := n - int(next.Add(int64(share))) + share
				if left <= 0 {
					return
				}
				if err := do(min(share, left)); err != nil {
					once.Do(func() { first = err; failed.Store(true) })
				}
			}
		}
		for range k {
			go caller()
		}
		wg.Wait()
		return first
	}
}
