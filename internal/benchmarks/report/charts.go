package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
	"github.com/seed-99d6a01a/gtcp/internal/chart"
)

// prefix begins the names of this page's charts.
const prefix = "bench-"

// chartLink is the picture of the table that follows it.
func chartLink(topic, title string) string {
	return fmt.Sprintf("![Chart of the table below: %s](charts/%s)", title, chartName(topic, title))
}

var (
	picture = regexp.MustCompile(`!\[Chart of the table below: ([^]]*)\]\(charts/(` + prefix + `[^)]*)\)`)
	others  = regexp.MustCompile(`[^a-z0-9]+`)
	versus  = regexp.MustCompile(`^(?:(.*): )?times (.*) \(range\)$`)
	ranged  = regexp.MustCompile(`^(\S+) \((\S+) to (\S+)\)$`)
)

// chartName is short enough for a file and says what it shows.
func chartName(topic, title string) string {
	words := strings.Trim(others.ReplaceAllString(strings.ToLower(title), "-"), "-")
	if len(words) > 80 {
		words = strings.Trim(words[:80], "-")
	}
	return prefix + topic + "-" + words + ".svg"
}

// charts draws the charts that a page shows, each from the table below it.
func charts(page string) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, at := range picture.FindAllStringSubmatchIndex(page, -1) {
		title, name := page[at[2]:at[3]], page[at[4]:at[5]]
		if all[name] != nil {
			return nil, fmt.Errorf("two charts are named %s", name)
		}
		bars, err := barsOf(title, pictures.Cells(page[at[1]:]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = bars.SVG()
	}
	return all, nil
}

// barsOf draws the first ratio of each row with its range; the figure itself
// stands at the right.
func barsOf(title string, cells [][]string) (chart.Bars, error) {
	b := chart.Bars{Title: title, Base: 1}
	if len(cells) < 2 || len(cells[0]) < 3 {
		return b, fmt.Errorf("no table with ratios")
	}
	head, column, base := cells[0], 0, ""
	for i, cell := range head {
		if m := versus.FindStringSubmatch(cell); m != nil {
			column, base = i, m[2]
			break
		}
	}
	if column == 0 {
		return b, fmt.Errorf("no column of ratios in %q", head)
	}
	unit := head[1]
	better := "Less is better."
	if strings.HasSuffix(unit, "/s") {
		better = "More is better."
	}
	b.Caption = fmt.Sprintf("%s, times that of %s: median and range of the rounds. %s", unit, base, better)
	for _, row := range cells[1:] {
		bar, err := barOf(row, column, unit)
		if err != nil {
			return b, err
		}
		b.Rows = append(b.Rows, bar)
	}
	return b, nil
}

func barOf(row []string, column int, unit string) (bar chart.Bar, err error) {
	bar.Name = row[0]
	if name, ok := strings.CutPrefix(bar.Name, "**"); ok {
		bar.Name, bar.Ours = strings.TrimSuffix(name, "**"), true
	}
	if column >= len(row) {
		return bar, fmt.Errorf("%s: no cell %d", bar.Name, column)
	}
	bar.Note = row[1]
	ratio := row[column]
	switch m := ranged.FindStringSubmatch(ratio); {
	case ratio == "" || ratio == "–": // the row says why
		bar.None = true
		return bar, nil
	case m == nil:
		bar.Median, err = figure(ratio)
		bar.Min, bar.Max = bar.Median, bar.Median
	default:
		for i, to := range []*float64{&bar.Median, &bar.Min, &bar.Max} {
			if *to, err = figure(m[i+1]); err != nil {
				break
			}
		}
	}
	if !strings.Contains(unit, " ") {
		bar.Note += " " + unit
	}
	return bar, err
}

// figure reads a number as compare prints it.
func figure(s string) (float64, error) {
	if s == "∞" {
		s = "Inf"
	}
	return strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
}
