package chart

import (
	"fmt"
	"math"
	"strings"
)

// Bars compares some candidates by one figure: a bar for each, and over it the
// range of what was measured.
type Bars struct {
	Title string
	// Caption says below the title what the bars are, and whether more is better.
	Caption string
	// Base, if positive, is a value with a line through all bars, such as 1 for
	// ratios.
	Base float64
	Rows []Bar
}

// Bar is one candidate of Bars.
type Bar struct {
	Name             string
	Min, Median, Max float64
	// Note is shown at the right, such as the figure itself where the bar is a
	// ratio.
	Note string
	// Ours draws the bar in the colour of this module.
	Ours bool
	// None means that there is no figure; Note says why.
	None bool
}

// far is how many times the greatest ratio must be the least for the axis to be
// logarithmic. Figures without a base have a linear one, so that lengths compare.
const far = 25

// SVG draws the chart.
func (b Bars) SVG() []byte {
	var c canvas
	c.head(b.Title, b.Caption)
	var names, notes []string
	for _, r := range b.Rows {
		names, notes = append(names, r.Name), append(notes, r.Note)
	}
	left := margin + columnFor(300, names...) + 8
	right := width - margin - columnFor(190, notes...) - 10
	s := b.scale(left, right)
	top := c.y
	bottom := top + rowStep*float64(len(b.Rows)) + 4
	c.grid(s, top, bottom)
	for i, r := range b.Rows {
		c.bar(r, s, s.at(b.foot(s)), top+rowStep*float64(i)+2, left, right)
	}
	if b.Base > 0 {
		c.line("base", s.at(b.Base), top, s.at(b.Base), bottom)
	} else {
		c.line("base", left, top, left, bottom)
	}
	c.y = bottom + 18
	return c.svg(b.Title, b.description())
}

// foot is the value where the bars begin: on a logarithmic axis, which has no zero,
// the base.
func (b Bars) foot(s scale) float64 {
	if s.log {
		return b.Base
	}
	return 0
}

// scale holds all medians, and as much of the ranges as leaves the medians
// room.
func (b Bars) scale(from, to float64) scale {
	least, most, lowest, highest := math.Inf(1), 0.0, math.Inf(1), 0.0
	see := func(lower, median, upper float64) {
		if !drawn(median) {
			return
		}
		least, most = min(least, median), max(most, median)
		if drawn(upper) {
			highest = max(highest, upper)
		}
		if drawn(lower) {
			lowest = min(lowest, lower)
		}
	}
	see(b.Base, b.Base, b.Base)
	for _, r := range b.Rows {
		if !r.None {
			see(r.Min, r.Median, r.Max)
		}
	}
	if b.Base > 0 && most/least > far {
		return logarithmic(max(min(lowest, least), least/10), max(most, min(highest, 10*most)), from+8, to) // room for a dot
	}
	return linear(max(most, min(highest, 2.5*most)), from, to)
}

func (c *canvas) bar(r Bar, s scale, foot, y, left, right float64) {
	const thick = 15
	middle := y + rowStep/2
	c.text(left-8, middle+4, "end", "", "", clip(r.Name, left-margin-8))
	if r.None {
		c.text(left+6, middle+4, "start", "small", "", r.Note)
		return
	}
	class := "peer"
	if r.Ours {
		class = "ours"
	}
	x := s.at(r.Median)
	if s.log { // a thin bar to a dot, for its length is no measure
		c.rect(class, min(foot, x), middle-2, math.Abs(x-foot), 4)
		c.printf(`<circle class="%s" cx="%s" cy="%s" r="6.5"/>`, class, coordinate(x), coordinate(middle))
	} else {
		c.rect(class, min(foot, x), middle-thick/2.0, math.Abs(x-foot), thick)
	}
	if r.Min < r.Max {
		c.printf(`<path class="range" d="M%s %sH%s%s%s"/>`, coordinate(s.at(r.Min)), coordinate(middle), coordinate(s.at(r.Max)),
			rangeEnd(s, r.Min, middle, r.Min < s.min && s.log, 1), rangeEnd(s, r.Max, middle, r.Max > s.max, -1))
	}
	c.text(right+10, middle+4, "start", "small", "", r.Note)
}

// rangeEnd is an upright line, or an arrow where the range goes on beyond the axis.
func rangeEnd(s scale, v, middle float64, beyond bool, inwards float64) string {
	x := s.at(v)
	if !beyond {
		return fmt.Sprintf("M%s %sV%s", coordinate(x), coordinate(middle-4), coordinate(middle+4))
	}
	back := coordinate(x + 5*inwards)
	return fmt.Sprintf("M%s %sL%s %sL%s %s", back, coordinate(middle-4), coordinate(x), coordinate(middle), back, coordinate(middle+4))
}

func (b Bars) description() string {
	var d strings.Builder
	d.WriteString(sentence(b.Caption))
	for _, r := range b.Rows {
		switch {
		case r.None:
			fmt.Fprintf(&d, " %s: %s.", r.Name, r.Note)
		case r.Min < r.Max:
			fmt.Fprintf(&d, " %s: %s, from %s to %s.", r.Name, number(r.Median), number(r.Min), number(r.Max))
		default:
			fmt.Fprintf(&d, " %s: %s.", r.Name, number(r.Median))
		}
	}
	return strings.TrimSpace(d.String())
}
