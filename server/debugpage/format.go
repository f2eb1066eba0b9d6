package debugpage

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// none is the text of what is not there, or unknown.
const none = "–"

// text is a cell that sorts by its letters.
func text(s string) cell { return cell{text: s, value: s} }

// count is a cell with a number.
func count[T int | uint32 | uint64](n T) cell {
	return cell{text: grouped(uint64(n)), value: n, order: float64(n)}
}

// few is a count of what is usually zero, which is then hardly seen.
func few[T int | uint32 | uint64](n T) cell {
	c := count(n)
	if n == 0 {
		c.text = none
	}
	return c
}

// took is a cell with a duration, in JSON in seconds. Zero means unknown.
func took(d time.Duration) cell {
	c := cell{text: none, value: d.Seconds(), order: d.Seconds()}
	if d > 0 {
		c.text = duration(d)
	}
	return c
}

// since is a cell with the time that has passed, in JSON in seconds.
func since(now, t time.Time) cell {
	if t.IsZero() || t.Unix() <= 0 {
		return cell{text: none, value: nil, order: -1}
	}
	d := max(now.Sub(t), 0)
	return cell{text: duration(d), value: d.Seconds(), order: d.Seconds()}
}

// size is a cell with a number of bytes.
func size[T int | uint64](n T) cell {
	c := cell{value: n, order: float64(n)}
	v, unit := float64(n), 0
	for ; v >= 1000 && unit < len(units)-1; unit++ {
		v /= 1000
	}
	c.text = strings.TrimSuffix(strconv.FormatFloat(v, 'f', decimals(v, unit), 64), ".0") + " " + units[unit]
	return c
}

var units = []string{"B", "kB", "MB", "GB", "TB", "PB"}

func decimals(v float64, unit int) int {
	if unit == 0 || v >= 100 {
		return 0
	}
	return 1
}

// perSecond is a cell with a rate, a dash while it is not known.
func perSecond(rate float64) cell {
	switch {
	case math.IsNaN(rate):
		return cell{text: none, value: nil, order: -1}
	case rate > 0 && rate < 10:
		return cell{text: strconv.FormatFloat(rate, 'f', 1, 64), value: rate, order: rate}
	}
	return cell{text: grouped(uint64(math.Round(rate))), value: rate, order: rate}
}

// address is a cell with an address, which may be nil.
func address(a net.Addr) cell {
	if a == nil {
		return text("")
	}
	return text(clean(a.String(), maxName))
}

// duration is d with about two digits that matter.
func duration(d time.Duration) string {
	switch s := int(d.Seconds()); {
	case d < time.Millisecond:
		return strconv.Itoa(int(d/time.Microsecond)) + " µs"
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", math.Floor(d.Seconds()*1e4)/10)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", s/60, s%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d m", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %02d h", s/86400, s/3600%24)
	}
}

// grouped is n with a comma before each three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

const (
	maxName = 200 // letters of a name or an address
	maxText = 400 // letters of an error
)

// clean is s on one line, without what no terminal or page should be given, and
// no longer than max letters.
func clean(s string, max int) string {
	letters := 0
	s = strings.Map(func(r rune) rune {
		letters++
		switch {
		case letters > max:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, s)
	if letters > max {
		s += "…"
	}
	return s
}

// tally lists the counts that are not zero: "refused 3, timeout 2".
func tally(n int, name func(int) string, value func(int) uint64) cell {
	var parts []string
	counts := map[string]uint64{}
	for i := range n {
		if v := value(i); v > 0 {
			parts = append(parts, name(i)+" "+grouped(v))
			counts[name(i)] = v
		}
	}
	if len(parts) == 0 {
		return cell{text: none, value: counts}
	}
	return cell{text: strings.Join(parts, ", "), value: counts}
}
