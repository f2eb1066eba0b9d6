// Command facade compares the facade with GoFrame's gtcp, which it stands in
// for, on loopback sockets: a pooled call, packages, lines, and all that is
// available of a long stream. Both run in this one process against the same
// plain servers, whose processor time and allocations count in; the servers
// make none once they are warm.
//
//	go run ./facade -case RecvPkg
package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// The two candidates of each case.
const (
	facade = "facade"
	gtcp   = "gtcp"
)

// versus is one case, with how to set up either package for it.
type versus struct {
	title string
	times int // as long a turn as others have; 0 means 1
	often int // as many rounds as others have; 0 means 1
	goals []compare.Goal
	ours  func() (do func(n int) error, err error)
	gtcp  func() (do func(n int) error, err error)
}

func main() {
	only := flag.String("case", "", "run the cases whose title contains this alone")
	compare.Main(compare.Settings{Rounds: 41, Length: 30 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{facade}
		for _, v := range cases() {
			if !strings.Contains(v.title, *only) {
				continue
			}
			if err := v.compare(p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (v versus) compare(p *compare.Program) error {
	ours, err := v.ours()
	if err != nil {
		return fmt.Errorf("%s: %s: %w", v.title, facade, err)
	}
	theirs, err := v.gtcp()
	if err != nil {
		return fmt.Errorf("%s: %s: %w", v.title, gtcp, err)
	}
	longer := *p
	longer.Settings.Length *= time.Duration(max(v.times, 1))
	longer.Settings.Rounds *= max(v.often, 1)
	return longer.Compare(compare.Comparison{
		Title:  v.title,
		Allocs: true,
		CPU:    true,
		Candidates: []compare.Candidate{
			{Name: facade, Do: ours},
			{Name: gtcp, Do: theirs},
		},
		Goals: v.goals,
	})
}
