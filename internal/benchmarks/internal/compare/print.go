package compare

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text is the table and its goals, aligned for a terminal.
func (t Table) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, t.Title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range t.cells() {
		fmt.Fprintln(w, "  "+strings.Join(line, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes all
	for _, v := range t.Verdicts() {
		fmt.Fprintf(&b, "  %s: %s: %s\n", v.Mark(), v.Says, v.Measured())
	}
	return b.String()
}

// Markdown is the table alone, without its title. The names of this module's
// candidates are bold.
func (t Table) Markdown() string {
	var b strings.Builder
	for i, line := range t.cells() {
		if i > 0 && t.Rows[i-1].Ours {
			line[0] = "**" + line[0] + "**"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---%s|\n", strings.Repeat("|---:", len(line)-1))
		}
	}
	return b.String()
}

// cells is the table's head and rows.
func (t Table) cells() [][]string {
	head := append([]string{""}, t.Columns...)
	allocs := false
	for _, r := range t.Rows {
		allocs = allocs || len(r.Allocs) > 0
	}
	if allocs {
		head = append(head, "allocs/op")
	}
	for column := range t.Compared {
		for _, base := range t.Bases {
			of := ""
			if t.Compared > 1 {
				of = t.Columns[column] + ": "
			}
			head = append(head, of+"times "+base+" (range)")
		}
	}
	lines := [][]string{head}
	for _, r := range t.Rows {
		line := []string{r.Name}
		if r.Withdrawn != "" {
			row := append(line, r.Withdrawn)
			lines = append(lines, append(row, make([]string, len(head)-len(row))...))
			continue
		}
		for _, figures := range r.Figures {
			line = append(line, number(SpreadOf(figures).Median))
		}
		if allocs {
			line = append(line, r.allocs())
		}
		for column := range t.Compared {
			for _, base := range t.Bases {
				line = append(line, t.versus(column, r.Name, base))
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (r Row) allocs() string {
	if len(r.Allocs) == 0 {
		return "–"
	}
	return number(SpreadOf(r.Allocs).Median)
}

func (t Table) versus(column int, name, base string) string {
	if name == base {
		return "1"
	}
	if t.row(base).Withdrawn != "" {
		return "–"
	}
	r := t.Ratio(column, name, base)
	return fmt.Sprintf("%s (%s to %s)", number(r.Median), number(r.Min), number(r.Max))
}

// Mark is "reached", "missed" or "open".
func (v Verdict) Mark() string {
	switch {
	case v.Open != "":
		return "open"
	case v.Reached:
		return "reached"
	}
	return "missed"
}

// Measured is the number that decided, and the limit.
func (v Verdict) Measured() string {
	if v.Open != "" {
		return v.Open
	}
	limit := "at least "
	if v.Want.Greatest {
		limit = "at most "
	}
	limit += number(v.Want.Number)
	if len(v.To) > 1 {
		return fmt.Sprintf("%s to %s, wanted %s", number(v.Got), v.Versus, limit)
	}
	return fmt.Sprintf("%s, wanted %s", number(v.Got), limit)
}

// number shows x with commas.
func number(x float64) string {
	if math.IsInf(x, 1) {
		return "∞"
	}
	s := strconv.FormatFloat(x, 'f', digits(x), 64)
	s = strings.TrimSuffix(strings.TrimSuffix(s, ".00"), ".0")
	for i := strings.IndexByte(s+".", '.') - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// digits is how many digits after the point can mean something.
func digits(x float64) int {
	switch {
	case x >= 99.95:
		return 0
	case x >= 9.995:
		return 1
	}
	return 2
}
