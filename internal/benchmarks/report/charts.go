package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// compared is a column of ratios, and the column of the figures that they compare.
type compared struct {
	ratio, figure int
	base, size    string // the size is empty, if there is one such column
	unit          string
}

// columns finds what a table compares: its first figure with its first base, or,
// in a table by size, whose columns are "16 B, GB/s" and so on, the figure of each
// size.
func columns(head []string) (all []compared) {
	for i, cell := range head {
		m := versus.FindStringSubmatch(cell)
		if m == nil {
			continue
		}
		c := compared{ratio: i, figure: 1, base: m[2], unit: head[1]}
		size, unit, several := strings.Cut(m[1], ", ")
		if !several {
			return []compared{c}
		}
		c.figure, c.size, c.unit = slices.Index(head, m[1]), size, unit
		all = append(all, c)
	}
	return all
}

// barsOf draws the ratios of each row with their range; the figure itself stands
// at the right.
func barsOf(title string, cells [][]string) (chart.Bars, error) {
	b := chart.Bars{Title: title, Base: 1}
	if len(cells) < 2 || len(cells[0]) < 3 {
		return b, errors.New("no table with ratios")
	}
	all := columns(cells[0])
	if len(all) == 0 {
		return b, fmt.Errorf("no column of ratios in %q", cells[0])
	}
	better := "Less is better."
	if strings.HasSuffix(all[0].unit, "/s") {
		better = "More is better."
	}
	b.Caption = fmt.Sprintf("%s, times that of %s: median and range of the rounds. %s", all[0].unit, all[0].base, better)
	for _, row := range cells[1:] {
		if all[0].size != "" && strings.Trim(row[0], "*") == all[0].base {
			continue // it would be a bar of 1 for each size
		}
		for _, c := range all {
			bar, err := barOf(row, c)
			if err != nil {
				return b, err
			}
			b.Rows = append(b.Rows, bar)
		}
	}
	return b, nil
}

func barOf(row []string, c compared) (bar chart.Bar, err error) {
	bar.Name = row[0]
	if name, ok := strings.CutPrefix(bar.Name, "**"); ok {
		bar.Name, bar.Ours = strings.TrimSuffix(name, "**"), true
	}
	if max(c.ratio, c.figure) >= len(row) {
		return bar, fmt.Errorf("%s: no cell %d", bar.Name, c.ratio)
	}
	if c.size != "" {
		bar.Name += ", " + c.size
	}
	bar.Note = row[c.figure]
	ratio := row[c.ratio]
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
	if !strings.Contains(c.unit, " ") {
		bar.Note += " " + c.unit
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
