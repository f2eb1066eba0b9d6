package chart

import (
	"encoding/xml"
	"fmt"
	"strings"
)

const (
	width    = 760.0
	margin   = 16.0
	fontSize = 13.0
	glyph    = 7.0 // about the width of a character of the labels
	rowStep  = 24.0
)

// style has a colour for each class on light and on dark pages. The card behind
// the chart keeps the text readable where a page does not follow the system's
// choice.
const style = `
    .card { fill: #ffffff; stroke: #d5dbe1; }
    text { fill: #1b2733; }
    .small { fill: #4c5a68; font-size: 11.5px; }
    .grid { stroke: #e3e8ed; }
    .base { stroke: #7a8794; }
    .peer { fill: #8b97a4; }
    .ours { fill: #3f7cc4; }
    .range { stroke: #1b2733; fill: none; stroke-width: 1.3; }
    .goal { stroke: #1b2733; stroke-width: 2.5; }
    .mark { stroke: #ffffff; stroke-width: 1; }
    .k0 { fill: #3f7cc4; } .k1 { fill: #b8630f; } .k2 { fill: #7d4fa8; } .k3 { fill: #2d7d46; } .k4 { fill: #b3304a; } .k5 { fill: #5d6975; }
    .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
    .l0 { stroke: #3f7cc4; } .l1 { stroke: #b8630f; } .l2 { stroke: #7d4fa8; } .l3 { stroke: #2d7d46; } .l4 { stroke: #b3304a; } .l5 { stroke: #5d6975; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #10161d; stroke: #303a45; }
      text { fill: #e6edf3; }
      .small { fill: #a9b6c3; }
      .grid { stroke: #26303a; }
      .base { stroke: #8b98a5; }
      .peer { fill: #64717f; }
      .ours { fill: #6fa3e0; }
      .range { stroke: #e6edf3; }
      .goal { stroke: #e6edf3; }
      .mark { stroke: #10161d; }
      .k0 { fill: #6fa3e0; } .k1 { fill: #eda35c; } .k2 { fill: #c3a0e6; } .k3 { fill: #7fbf97; } .k4 { fill: #ee8496; } .k5 { fill: #a9b6c3; }
      .l0 { stroke: #6fa3e0; } .l1 { stroke: #eda35c; } .l2 { stroke: #c3a0e6; } .l3 { stroke: #7fbf97; } .l4 { stroke: #ee8496; } .l5 { stroke: #a9b6c3; }
    }
`

// colours is how many classes k and l there are.
const colours = 6

// canvas collects the elements of a chart from top to bottom.
type canvas struct {
	b strings.Builder
	y float64 // where the next element goes
}

func (c *canvas) printf(format string, args ...any) {
	fmt.Fprintf(&c.b, "  "+format+"\n", args...)
}

// head writes the title, and below it what is shown.
func (c *canvas) head(title, caption string) {
	c.y = margin + 14
	c.text(margin, c.y, "start", "", `font-size="15" font-weight="600"`, title)
	if caption != "" {
		c.y += 19
		c.text(margin, c.y, "start", "small", "", caption)
	}
	c.y += 12
}

func (c *canvas) text(x, y float64, anchor, class, more, text string) {
	attributes := ""
	if anchor != "start" {
		attributes += fmt.Sprintf(` text-anchor="%s"`, anchor)
	}
	if class != "" {
		attributes += fmt.Sprintf(` class="%s"`, class)
	}
	if more != "" {
		attributes += " " + more
	}
	c.printf(`<text x="%s" y="%s"%s>%s</text>`, coordinate(x), coordinate(y), attributes, escape(text))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.printf(`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
}

func (c *canvas) rect(class string, x, y, w, h float64) {
	c.printf(`<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="2"/>`, class, coordinate(x), coordinate(y), coordinate(w), coordinate(h))
}

// grid draws the lines of a horizontal axis from top to bottom, and its numbers
// below them.
func (c *canvas) grid(s scale, top, bottom float64) {
	for _, t := range s.ticks() {
		x := s.at(t)
		c.line("grid", x, top, x, bottom)
		c.text(x, bottom+15, "middle", "small", "", number(t))
	}
}

// svg is the whole chart.
func (c *canvas) svg(title, description string) []byte {
	height := c.y + margin
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="%s">`+"\n",
		coordinate(width), coordinate(height), coordinate(fontSize))
	fmt.Fprintf(&out, "  <title id=\"t\">%s</title>\n  <desc id=\"d\">%s</desc>\n  <style>%s  </style>\n", escape(title), escape(description), style)
	fmt.Fprintf(&out, `  <rect class="card" x="0.5" y="0.5" width="%s" height="%s" rx="8"/>`+"\n", coordinate(width-1), coordinate(height-1))
	out.WriteString(c.b.String())
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

// coordinate prints a tenth of a pixel, which is finer than an eye sees and
// coarser than processors differ.
func coordinate(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes all
	return b.String()
}

// sentence ends a caption, where more text follows.
func sentence(caption string) string {
	if caption == "" || strings.HasSuffix(caption, ".") {
		return caption
	}
	return caption + "."
}

// clip shortens a name that would leave its column.
func clip(s string, column float64) string {
	letters := []rune(s)
	if most := int(column / glyph); len(letters) > most && most > 1 {
		return string(letters[:most-1]) + "…"
	}
	return s
}

// columnFor is the width that the longest of the names needs, within a limit.
func columnFor(limit float64, names ...string) float64 {
	widest := 0
	for _, name := range names {
		widest = max(widest, len([]rune(name)))
	}
	return min(limit, glyph*float64(widest)+4)
}
