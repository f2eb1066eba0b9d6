package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Lines draws curves, such as the percentiles of a latency.
type Lines struct {
	Title string
	// Caption says below the title what the curves are.
	Caption string
	// XName and YName are what the axes show, with the unit.
	XName, YName string
	// Percentiles says that X is a percentile, 0 to below 100. Its axis has as
	// much room from 90 to 99 as from 99 to 99.9, so that the slow calls are
	// seen.
	Percentiles bool
	// Log makes the vertical axis logarithmic.
	Log    bool
	Curves []Curve
}

// Curve is one line of Lines. Its points are in the order of X.
type Curve struct {
	Name   string
	Points []Point
	// Dashed draws the line with gaps.
	Dashed bool
}

// Point is a point of a curve.
type Point struct{ X, Y float64 }

const (
	plotHeight = 260.0
	deepest    = 99.999 // the greatest percentile with a place of its own
)

// SVG draws the chart.
func (l Lines) SVG() []byte {
	var c canvas
	c.head(l.Title, l.Caption)
	c.keys(l.legend())
	top := c.y + 24
	bottom := top + plotHeight
	y := l.vertical(bottom, top)
	var labels []string
	for _, t := range y.ticks() {
		labels = append(labels, number(t))
	}
	left := margin + columnFor(120, labels...) + 6
	right := width - margin - 20
	c.text(margin, top-10, "start", "small", "", l.YName)
	for i, t := range y.ticks() {
		c.line("grid", left, y.at(t), right, y.at(t))
		c.text(left-8, y.at(t)+4, "end", "small", "", labels[i])
	}
	x := l.horizontal(left, right)
	for _, t := range x.ticks {
		at := x.at(t)
		c.line("grid", at, top, at, bottom)
		c.text(at, bottom+16, "middle", "small", "", strconv.FormatFloat(t, 'f', -1, 64))
	}
	c.text((left+right)/2, bottom+34, "middle", "small", "", l.XName)
	c.line("base", left, bottom, right, bottom)
	for i, curve := range l.Curves {
		c.curve(i, curve, x.at, y.at)
	}
	c.y = bottom + 36
	return c.svg(l.Title, l.description())
}

func (c *canvas) curve(i int, curve Curve, x, y func(float64) float64) {
	var path strings.Builder
	for n, p := range curve.Points {
		letter := "L"
		if n == 0 {
			letter = "M"
		}
		fmt.Fprintf(&path, "%s%s %s", letter, coordinate(x(p.X)), coordinate(y(p.Y)))
	}
	if path.Len() > 0 {
		c.printf(`<path class="line l%d"%s d="%s"/>`, i%colours, dashes(curve.Dashed), path.String())
	}
}

func dashes(dashed bool) string {
	if dashed {
		return ` stroke-dasharray="6 4"`
	}
	return ""
}

func (l Lines) legend() (all []key) {
	for i, curve := range l.Curves {
		all = append(all, key{curve.Name, func(c *canvas, x, y float64) {
			c.printf(`<path class="line l%d"%s d="M%s %sh20"/>`, i%colours, dashes(curve.Dashed), coordinate(x-10), coordinate(y))
		}})
	}
	return all
}

// vertical holds all points.
func (l Lines) vertical(bottom, top float64) scale {
	least, most := math.Inf(1), 0.0
	for _, curve := range l.Curves {
		for _, p := range curve.Points {
			if drawn(p.Y) {
				least, most = min(least, p.Y), max(most, p.Y)
			}
		}
	}
	if l.Log {
		return logarithmic(least, most, bottom, top)
	}
	return linear(most, bottom, top)
}

// axis is the horizontal axis.
type axis struct {
	ticks []float64
	at    func(float64) float64
}

func (l Lines) horizontal(from, to float64) axis {
	most := 0.0
	for _, curve := range l.Curves {
		for _, p := range curve.Points {
			most = max(most, p.X)
		}
	}
	if !l.Percentiles {
		s := linear(most, from, to)
		return axis{s.ticks(), s.at}
	}
	ticks := []float64{0, 50, 90, 99, 99.9, 99.99, deepest}
	shown := 4 // 99 is always there
	for shown < len(ticks) && ticks[shown-1] < most {
		shown++
	}
	ticks = ticks[:shown]
	end := ticks[shown-1]
	s := scale{log: true, min: 1, max: 100 / (100 - end), from: from, to: to}
	return axis{ticks, func(percentile float64) float64 { return s.at(100 / (100 - min(percentile, end))) }}
}

func (l Lines) description() string {
	var d strings.Builder
	d.WriteString(sentence(l.Caption))
	for _, curve := range l.Curves {
		fmt.Fprintf(&d, " %s:", curve.Name)
		for i, p := range curve.Points {
			if l.Percentiles && !round(p.X) {
				continue
			}
			if i > 0 && !strings.HasSuffix(d.String(), ":") {
				d.WriteString(",")
			}
			fmt.Fprintf(&d, " %s %s at %s", number(p.Y), l.YName, strconv.FormatFloat(p.X, 'f', -1, 64))
			if l.Percentiles {
				d.WriteString(" %")
			}
		}
		d.WriteString(".")
	}
	return strings.TrimSpace(d.String())
}

// round reports whether a percentile is one that is spoken of.
func round(percentile float64) bool {
	for _, p := range []float64{50, 90, 99, 99.9, 99.99} {
		if math.Abs(percentile-p) < 1e-9 {
			return true
		}
	}
	return false
}
