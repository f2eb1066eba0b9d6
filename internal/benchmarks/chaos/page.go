//go:build linux

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
	"github.com/seed-99d6a01a/gtcp/internal/chart"
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

// prefix begins the names of the page's charts.
const prefix = "chaos-"

// charts draws the recoveries from the table that the page shows.
func charts(page string) (map[string][]byte, error) {
	_, section, found := strings.Cut(page, "\n## Recovery\n")
	cells := pictures.Cells(section)
	if !found || len(cells) < 2 {
		return nil, errors.New("the page has no table of recoveries")
	}
	d := chart.Dots{
		Title:   "Recovery from a broken network",
		Caption: "Seconds from the end of the fault to the first call that succeeds. Less is better.",
		Least:   0.01, Never: "never", Goal: "goal",
	}
	for _, name := range cells[0][2:] {
		ours := slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name && k.ours })
		d.Kinds = append(d.Kinds, chart.Kind{Name: name, Ours: ours})
	}
	for _, row := range cells[1:] {
		if len(row) != len(cells[0]) {
			return nil, fmt.Errorf("%q has %d cells", row, len(row))
		}
		r := chart.DotRow{Name: row[0]}
		for i, cell := range row[1:] {
			v, err := strconv.ParseFloat(cell, 64)
			if cell == "never" {
				v, err = math.Inf(1), nil
			}
			if err != nil {
				return nil, err
			}
			if i == 0 {
				r.Goal = v
			} else {
				r.Values = append(r.Values, v)
			}
		}
		d.Rows = append(d.Rows, r)
	}
	return map[string][]byte{prefix + "recovery.svg": d.SVG()}, nil
}

// drawCharts draws the charts of a page that is written.
func drawCharts(page string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	all, err := charts(string(text))
	if err != nil {
		return err
	}
	return pictures.Write(page, prefix, all)
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
