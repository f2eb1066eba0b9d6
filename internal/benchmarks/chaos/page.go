//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"time"
)

//go:embed chaos.md.tmpl
var document string

// page is docs/chaos.md: the template with a table in the place of each {{…}}.
func page(played, recipes []outcome) string {
	text := document
	for mark, cell := range map[string]func(result) string{
		"{{goodput}}":  func(r result) string { return fmt.Sprintf("%.0f", r.goodput) },
		"{{outage}}":   func(r result) string { return fmt.Sprintf("%.2f", r.outage.Seconds()) },
		"{{recovery}}": recovered,
		"{{longest}}":  func(r result) string { return fmt.Sprintf("%.1f", r.Longest.Seconds()) },
		"{{zeros}}":    func(r result) string { return fmt.Sprintf("%d %d %d", r.Wrong, r.Hung, r.doubles) },
		"{{ends}}":     func(r result) string { return fmt.Sprintf("%d %d", max(0, r.Goroutine), max(0, r.Files)) },
	} {
		text = strings.ReplaceAll(text, mark, table(played, kindNames(false), cell, mark == "{{recovery}}"))
	}
	text = strings.ReplaceAll(text, "{{recipes}}", table(recipes, kindNames(true), func(r result) string {
		return fmt.Sprintf("%.0f / %.1f / %d", r.goodput, r.outage.Seconds(), r.Failed)
	}, false))
	load, _, _ := strings.Cut(readOrNothing("/proc/loadavg"), " ")
	text = strings.ReplaceAll(text, "{{load}}", load)
	reached, goals := 0, 0
	for _, o := range played {
		for _, k := range kinds {
			if r, ok := o.results[k.name]; ok && k.ours && o.scenario.goal > 0 {
				goals++
				if !r.never && r.recovery <= o.scenario.goal {
					reached++
				}
			}
		}
	}
	return strings.ReplaceAll(text, "{{goals}}", fmt.Sprintf("%d of %d", reached, goals))
}

func readOrNothing(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// table has a row for each case and a column for each kind. The one of recoveries
// has the goals, and only the cases that have one.
func table(played []outcome, names []string, cell func(result) string, goals bool) string {
	var b strings.Builder
	b.WriteString("| case | ")
	if goals {
		b.WriteString("goal | ")
	}
	b.WriteString(strings.Join(names, " | ") + " |\n|" + strings.Repeat("---|", len(names)+1))
	if goals {
		b.WriteString("---|")
	}
	b.WriteByte('\n')
	for _, o := range played {
		if goals && o.scenario.goal == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", o.scenario.name)
		if goals {
			fmt.Fprintf(&b, " %s |", seconds(o.scenario.goal))
		}
		for _, name := range names {
			fmt.Fprintf(&b, " %s |", cell(o.results[name]))
		}
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
