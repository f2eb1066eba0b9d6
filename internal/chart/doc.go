// Package chart draws the charts of the documents and of examples/load as SVG:
// [Bars] with ranges beside peers, [Dots] of several kinds in many cases, and
// [Lines] such as the percentiles of a latency. A chart needs no script. It has
// colours for light and for dark pages, and a title and a description for screen
// readers. The same data give the same bytes.
package chart
