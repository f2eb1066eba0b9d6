// Command pools compares pools: acquire and release of bare ones, Get and Close
// through pool.Pool, and what the settings of a pool.Pool cost beside a round
// trip.
//
// Some peers keep no maximum and dial when all is taken; dialing costs nothing
// here, which is in their favour.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// load is how many callers share how many connections.
type load struct {
	conns, callers int
	yield          bool    // hold while others run, so that they queue
	faster         float64 // what the goal for slotpool is, 0 for none
}

var loads = []load{{64, 1, false, 4}, {64, 2, false, 0}, {64, 32, false, 4}, {4, 64, false, 2}, {4, 64, true, 2}}

func (l load) String() string {
	s := fmt.Sprintf("%d connections, callers: %d", l.conns, l.callers)
	if l.yield {
		s += ", who yield while they hold one"
	}
	return s
}

func main() {
	compare.Main(compare.Settings{Rounds: 41, Length: 15 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"puddlepool", "slotpool", "pool.Pool", "Probe", "default", "one checkout"}
		ctx, cancel := context.WithCancel(context.Background()) // as real callers' are
		defer cancel()
		for _, l := range loads {
			if err := l.compare(ctx, p, "Bare pools, "+l.String(), bareKinds, l.bareGoals()); err != nil {
				return err
			}
		}
		for _, l := range loads {
			if err := l.compare(ctx, p, "Through pool.Pool, "+l.String(), frontends, frontendGoals()); err != nil {
				return err
			}
		}
		return settings(ctx, p)
	})
}

func (l load) compare(ctx context.Context, p *compare.Program, title string, kinds []kind, goals []compare.Goal) error {
	c := compare.Comparison{Title: title, Allocs: true, Goals: goals}
	for _, k := range kinds {
		pool, err := k.open(ctx, l.conns)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		do := compare.Callers(l.callers, func(n int) error { pool.run(n, l.yield); return nil })
		c.Candidates = append(c.Candidates, compare.Candidate{Name: k.name, Do: alive(do)})
	}
	return p.Compare(c)
}

// alive has a pool withdraw when it stands still, which a lost wakeup does.
func alive(do func(n int) error) func(n int) error {
	return func(n int) error {
		done := make(chan error, 1)
		go func() { done <- do(n) }()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return compare.Withdrawn{Why: "stands still"}
		}
	}
}

func (l load) bareGoals() []compare.Goal {
	goals := []compare.Goal{
		{Ref: "3.2", Says: "puddlepool: no allocations", Of: "puddlepool", Allocs: true, Want: compare.AtMost(0)},
		{Ref: "3.2", Says: "slotpool: no allocations", Of: "slotpool", Allocs: true, Want: compare.AtMost(0)},
		{Ref: "3.2", Says: "puddlepool: at most 1.25 times puddle", Of: "puddlepool", To: []string{"puddle"}, Want: compare.AtMost(1.25)},
		{Ref: "3.2", Says: "slotpool: ahead of the other libraries", Of: "slotpool",
			To: []string{"database/sql", "fatih", "silenceper", "gpool (gtcp)"}, Want: compare.AtMost(0.99)},
	}
	if l.faster > 0 {
		goals = append(goals, compare.Goal{Ref: "3.2", Says: fmt.Sprintf("slotpool: at least %v times as fast as puddle", l.faster),
			Of: "puddle", To: []string{"slotpool"}, Want: compare.AtLeast(l.faster)})
	}
	return goals
}
