//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what came of one kind of client in one case.
type result struct {
	report
	doubles  int
	goodput  float64       // right replies a second while the fault lasted
	outage   time.Duration // the longest time without one
	recovery time.Duration // from the mending to the first; of a fault that stays, the outage
	never    bool          // none came any more
}

// measure takes the figures from when the right replies came.
func measure(r report, begun, mended, ended time.Time, doubles int) result {
	m := result{report: r, doubles: doubles}
	stays := !mended.After(begun)
	until := mended
	if stays {
		until = ended
	}
	last := begun.UnixNano()
	found := false
	for _, at := range r.OK {
		if at < begun.UnixNano() || at > ended.UnixNano() {
			continue
		}
		if at <= until.UnixNano() {
			m.goodput++
		}
		m.outage = max(m.outage, time.Duration(at-last))
		if !stays && !found && at >= mended.UnixNano() {
			found, m.recovery = true, time.Duration(at-mended.UnixNano())
		}
		last = at
	}
	m.outage = max(m.outage, time.Duration(ended.UnixNano()-last))
	m.goodput /= until.Sub(begun).Seconds()
	if stays {
		m.recovery = m.outage
		found = len(r.OK) > 0 && r.OK[len(r.OK)-1] > ended.Add(-2*time.Second).UnixNano()
	}
	m.never = !found
	return m
}

// outcome is a case that was played.
type outcome struct {
	scenario scenario
	results  map[string]result
}

// facade has pools that end with the process, as GoFrame's have, and so files at
// the end.
const facade = "facade"

// slack is how many goroutines and files may be there at the end that are not a
// client's: a name lookup under way, the runtime's poller.
const slack = 4

// faults are what gtcp's clients did in this case that they must never do. Times
// are no faults: a busy machine makes them long.
func (o outcome) faults() (found []string) {
	for _, k := range kinds {
		r, played := o.results[k.name]
		if !k.ours || !played {
			continue
		}
		for _, f := range []struct {
			n    int
			what string
		}{
			{r.Wrong, "wrong replies"}, {r.Hung, "calls that hung"}, {notIf(k.idempotent, r.doubles), "requests executed twice"},
			{max(0, r.Goroutine-slack), "goroutines left"}, {max(0, r.Files-slack), "files left"},
		} {
			if f.n > 0 && (k.name != facade || f.what != "files left") {
				found = append(found, fmt.Sprintf("%s: %s: %d %s", o.scenario.name, k.name, f.n, f.what))
			}
		}
		if r.never && !k.recipe {
			found = append(found, fmt.Sprintf("%s: %s: no call succeeds any more", o.scenario.name, k.name))
		}
	}
	return found
}

func notIf(allowed bool, n int) int {
	if allowed {
		return 0
	}
	return n
}

// text is the outcome for a terminal.
func (o outcome) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "=== %s (goal %v)\n", o.scenario.name, o.scenario.goal)
	for _, k := range kinds {
		r, ok := o.results[k.name]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "%-26s ok/s %6.1f  outage %6.2fs  recovery %7s  calls %5d failed %5d  longest %6.2fs  wrong %d hung %d doubles %d goroutines %d files %d %s\n",
			k.name, r.goodput, r.outage.Seconds(), recovered(r), r.Calls, r.Failed, r.Longest.Seconds(), r.Wrong, r.Hung, r.doubles, r.Goroutine, r.Files, topErrors(r))
	}
	return b.String()
}

func recovered(r result) string {
	if r.never {
		return "never"
	}
	return fmt.Sprintf("%.2f", r.recovery.Seconds())
}

func topErrors(r result) string {
	var all []string
	for what := range r.Errors {
		all = append(all, what)
	}
	slices.SortFunc(all, func(a, b string) int { return r.Errors[b] - r.Errors[a] })
	text := ""
	for _, what := range all[:min(3, len(all))] {
		text += fmt.Sprintf(" %d×%s", r.Errors[what], what)
	}
	return text
}
