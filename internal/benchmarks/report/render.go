package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// document is the text around the tables. In it, {{tables "codec"}} stands for
// the tables of that topic with their goals, and {{goals}} for how
// many goals were reached.
//
//go:embed benchmarks.md.tmpl
var document string

// page renders the document; it notes which topics have had their place.
type page struct {
	tables map[string][]compare.Table
	placed map[string]bool
}

// render fails where the document leaves a topic out or names one that did not
// run.
func render(document string, m machine, tables map[string][]compare.Table) (string, error) {
	p := page{tables, map[string]bool{}}
	t, err := template.New("benchmarks.md").Funcs(template.FuncMap{"tables": p.topic, "goals": p.goals}).Parse(document)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, m); err != nil {
		return "", err
	}
	for topic := range tables {
		if !p.placed[topic] {
			return "", fmt.Errorf("the document has no place for %s", topic)
		}
	}
	return b.String(), nil
}

func (p page) topic(name string) (string, error) {
	tables, ok := p.tables[name]
	if !ok {
		return "", fmt.Errorf("no topic %s was run", name)
	}
	p.placed[name] = true
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "**%s** (%d rounds)\n\n", t.Title, t.Settings.Rounds)
		if hasRatios(t) {
			b.WriteString(chartLink(name, t.Title) + "\n\n")
		}
		b.WriteString(t.Markdown() + "\n")
		for _, v := range t.Verdicts() {
			fmt.Fprintf(&b, "- %s **%s**: %s: %s\n", v.Ref, v.Mark(), v.Says, v.Measured())
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String()), nil
}

// hasRatios reports whether there is something to compare in a chart.
func hasRatios(t compare.Table) bool {
	for _, r := range t.Rows {
		if r.Name == t.Bases[0] && r.Withdrawn != "" {
			return false
		}
	}
	return len(t.Rows) > 1
}

// goals is a table of the goals by where they were asked for, in the order of
// the topics: how many were reached, and each that was not.
func (p page) goals() string {
	var b strings.Builder
	b.WriteString("| goal | topic | reached | not reached |\n|---|---|---|---|\n")
	for _, topic := range topics {
		var refs []string
		by := map[string][]string{} // by goal, a line for each verdict, empty if reached
		for _, t := range p.tables[topic] {
			for _, v := range t.Verdicts() {
				if by[v.Ref] == nil {
					refs = append(refs, v.Ref)
				}
				line := ""
				if !v.Reached {
					line = fmt.Sprintf("%s: %s: %s", t.Title, v.Says, v.Measured())
				}
				by[v.Ref] = append(by[v.Ref], line)
			}
		}
		for _, ref := range refs {
			missed := slices.DeleteFunc(slices.Clone(by[ref]), func(line string) bool { return line == "" })
			fmt.Fprintf(&b, "| %s | [%s](#%s) | %d of %d | %s |\n", ref, topic, topic,
				len(by[ref])-len(missed), len(by[ref]), strings.Join(missed, "<br>"))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
