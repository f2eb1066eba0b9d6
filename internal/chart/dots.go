package chart

import (
	"fmt"
	"math"
	"strings"
)

// Dots shows one figure of several kinds in many cases: a row for each case, and
// on it a mark for each kind. The axis is logarithmic.
type Dots struct {
	Title string
	// Caption says below the title what the marks are, and what is better.
	Caption string
	// Least is the smallest value with a place of its own: smaller ones are drawn
	// there.
	Least float64
	// Kinds are the kinds in the order of each row's Values.
	Kinds []Kind
	Rows  []DotRow
	// Never is what a mark at the right end means, where a value is +Inf.
	Never string
	// Goal, if not empty, is what a row's goal is called.
	Goal string
}

// Kind is one of those that Dots compares.
type Kind struct {
	Name string
	// Ours draws the marks in the colour of this module.
	Ours bool
}

// DotRow is one case.
type DotRow struct {
	Name   string
	Goal   float64 // zero for none
	Values []float64
}

// SVG draws the chart.
func (d Dots) SVG() []byte {
	var c canvas
	c.head(d.Title, d.Caption)
	c.keys(d.legend())
	var names []string
	most := d.Least
	for _, r := range d.Rows {
		names = append(names, r.Name)
		most = max(most, r.Goal)
		for _, v := range r.Values {
			if drawn(v) {
				most = max(most, v)
			}
		}
	}
	left := margin + columnFor(330, names...) + 12
	right := width - margin - 8
	end := right
	if d.Never != "" {
		end -= columnFor(120, d.Never) + 10
	}
	s := logarithmic(d.Least, most, left, end)
	top := c.y + 4
	bottom := top + rowStep*float64(len(d.Rows)) + 2
	c.grid(s, top, bottom)
	never := (end + right + 10) / 2
	if d.Never != "" {
		c.line("base", end+10, top, end+10, bottom)
		c.text(never, bottom+15, "middle", "small", "", d.Never)
	}
	for i, r := range d.Rows {
		c.dots(d, r, s, never, left, top+rowStep*float64(i))
	}
	c.y = bottom + 18
	return c.svg(d.Title, d.description())
}

func (c *canvas) dots(d Dots, r DotRow, s scale, never, left, top float64) {
	middle := top + rowStep/2
	c.text(left-12, middle+4, "end", "", "", clip(r.Name, left-margin-12))
	c.line("grid", left, middle, s.to, middle)
	if r.Goal > 0 {
		x := s.at(r.Goal)
		c.line("goal", x, middle-9, x, middle+9)
	}
	// Ours come last, so that they are on top.
	for _, ours := range []bool{false, true} {
		for i, v := range r.Values {
			if d.Kinds[i].Ours != ours {
				continue
			}
			x := never
			if !math.IsInf(v, 1) {
				x = s.at(v)
			}
			c.mark(d.form(i), x, middle)
		}
	}
}

// form is what the marks of a kind look like: ours are all alike.
func (d Dots) form(kind int) int {
	if d.Kinds[kind].Ours {
		return 0
	}
	form := 1
	for _, k := range d.Kinds[:kind] {
		if !k.Ours {
			form++
		}
	}
	return form
}

// mark draws a circle, a square, a triangle, a diamond or a cross, in the colour
// of the same number: who does not tell the colours tells the forms.
func (c *canvas) mark(form int, x, y float64) {
	class := fmt.Sprintf("k%d mark", form%colours)
	at := func(dx, dy float64) string { return coordinate(x+dx) + " " + coordinate(y+dy) }
	switch form % 5 {
	case 0:
		c.printf(`<circle class="%s" cx="%s" cy="%s" r="5"/>`, class, coordinate(x), coordinate(y))
	case 1:
		c.printf(`<path class="%s" d="M%sL%sL%sL%sZ"/>`, class, at(-4.5, -4.5), at(4.5, -4.5), at(4.5, 4.5), at(-4.5, 4.5))
	case 2:
		c.printf(`<path class="%s" d="M%sL%sL%sZ"/>`, class, at(0, -6), at(5.5, 4.5), at(-5.5, 4.5))
	case 3:
		c.printf(`<path class="%s" d="M%sL%sL%sL%sZ"/>`, class, at(0, -6.5), at(5, 0), at(0, 6.5), at(-5, 0))
	default:
		c.printf(`<path class="%s" d="M%sL%sL%sZ"/>`, class, at(0, 6), at(5.5, -4.5), at(-5.5, -4.5))
	}
}

type key struct {
	name string
	draw func(c *canvas, x, y float64)
}

func (d Dots) legend() (all []key) {
	var ours []string
	for _, k := range d.Kinds {
		if k.Ours {
			ours = append(ours, k.Name)
		}
	}
	if len(ours) > 0 {
		all = append(all, key{strings.Join(ours, ", "), func(c *canvas, x, y float64) { c.mark(0, x, y) }})
	}
	for i, k := range d.Kinds {
		if !k.Ours {
			all = append(all, key{k.Name, func(c *canvas, x, y float64) { c.mark(d.form(i), x, y) }})
		}
	}
	if d.Goal != "" {
		all = append(all, key{d.Goal, func(c *canvas, x, y float64) { c.line("goal", x, y-7, x, y+7) }})
	}
	return all
}

// keys writes a legend, in as many lines as it needs.
func (c *canvas) keys(all []key) {
	x := margin
	c.y += 8
	for _, k := range all {
		wide := 26 + glyph*float64(len([]rune(k.name))) + 12
		if x > margin && x+wide > width-margin {
			x = margin
			c.y += 20
		}
		k.draw(c, x+9, c.y)
		c.text(x+24, c.y+4, "start", "small", "", k.name)
		x += wide
	}
	c.y += 12
}

func (d Dots) description() string {
	var b strings.Builder
	b.WriteString(sentence(d.Caption))
	for _, r := range d.Rows {
		var values []string
		for i, v := range r.Values {
			text := d.Never
			if !math.IsInf(v, 1) {
				text = number(v)
			}
			values = append(values, d.Kinds[i].Name+" "+text)
		}
		goal := ""
		if r.Goal > 0 {
			goal = fmt.Sprintf(" (%s %s)", d.Goal, number(r.Goal))
		}
		fmt.Fprintf(&b, " %s%s: %s.", r.Name, goal, strings.Join(values, ", "))
	}
	return strings.TrimSpace(b.String())
}
