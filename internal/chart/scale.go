package chart

import (
	"math"
	"strconv"
	"strings"
)

// scale maps values to positions on an axis.
type scale struct {
	log      bool
	min, max float64 // values at the ends
	from, to float64 // their positions
}

// at is the position of a value; one beyond an end is at that end.
func (s scale) at(v float64) float64 {
	if math.IsNaN(v) {
		v = s.min
	}
	v = min(max(v, s.min), s.max)
	part := (v - s.min) / (s.max - s.min)
	if s.log {
		part = math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return s.from + part*(s.to-s.from)
}

// drawn reports whether a value decides how long an axis is: zero, infinity and
// what is no number do not.
func drawn(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// linear is a scale from zero to a round number that is at least most.
func linear(most, from, to float64) scale {
	if !drawn(most) {
		most = 1
	}
	step := step(most)
	return scale{min: 0, max: math.Ceil(most/step-1e-9) * step, from: from, to: to}
}

// logarithmic is a scale between round numbers with least and most inside.
func logarithmic(least, most, from, to float64) scale {
	if !drawn(least) || !drawn(most) {
		least, most = 0.1, 1
	}
	lower, upper := roundDown(least), roundUp(most)
	if upper <= lower {
		upper = 10 * lower
	}
	return scale{log: true, min: lower, max: upper, from: from, to: to}
}

// step is a round number of which about five make most.
func step(most float64) float64 {
	unit := math.Pow10(int(math.Floor(math.Log10(most / 5))))
	for _, n := range []float64{1, 2, 5} {
		if most/(n*unit) <= 6 {
			return n * unit
		}
	}
	return 10 * unit
}

// roundDown is the greatest of 1, 2 and 5 times a power of ten that is not above v.
func roundDown(v float64) float64 {
	unit := math.Pow10(int(math.Floor(math.Log10(v) + 1e-9)))
	for _, n := range []float64{5, 2} {
		if n*unit <= v*(1+1e-9) {
			return n * unit
		}
	}
	return unit
}

func roundUp(v float64) float64 {
	unit := math.Pow10(int(math.Floor(math.Log10(v) + 1e-9)))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= v*(1-1e-9) {
			return n * unit
		}
	}
	return 10 * unit
}

// ticks are the values with a number on the axis.
func (s scale) ticks() (all []float64) {
	if !s.log {
		step := step(s.max)
		for n := 0.0; n*step <= s.max*(1+1e-9); n++ {
			all = append(all, n*step)
		}
		return all
	}
	steps := []float64{1}
	if s.max/s.min < 200 {
		steps = []float64{1, 2, 5}
	}
	for exponent := int(math.Floor(math.Log10(s.min) + 1e-9)); ; exponent++ {
		for _, n := range steps {
			v := n * math.Pow10(exponent)
			if v > s.max*(1+1e-9) {
				return all
			}
			if v >= s.min*(1-1e-9) {
				all = append(all, v)
			}
		}
	}
}

// number prints a value of an axis: three digits that count, and commas.
func number(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	if math.IsInf(v, 0) {
		return "∞"
	}
	digits := 0
	for p := math.Abs(v); p > 0 && p < 99.95 && digits < 6; p *= 10 {
		digits++
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	whole, rest, _ := strings.Cut(text, ".")
	if rest != "" {
		rest = "." + rest
	}
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + rest
}
