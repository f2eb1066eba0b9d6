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

// unit says how a cell is shown.
type unit uint8

const (
	words    unit = iota // its text
	addrUnit             // an address
	whole                // a number
	rarely               // a number that is usually zero, which is then hardly seen
	seconds              // a duration
	atLeast1             // a duration that is accurate to one second
	byteUnit             // a size in bytes
	rateUnit             // a number per second, or per something
)

// unknown is the number of a cell that has none.
var unknown = math.NaN()

// text is a cell that sorts by its letters.
func text(s string) cell { return cell{said: s} }

// address is a cell with an address, which may be nil.
func address(a net.Addr) cell {
	if a == nil {
		return text("")
	}
	return cell{as: addrUnit, addr: a}
}

// count is a cell with a number.
func count[T int | uint32 | uint64](n T) cell { return cell{as: whole, order: float64(n)} }

// few is a count of what is usually zero.
func few[T int | uint32 | uint64](n T) cell { return cell{as: rarely, order: float64(n)} }

// took is a cell with a duration. Zero means unknown.
func took(d time.Duration) cell {
	if d <= 0 {
		return cell{as: seconds, order: unknown}
	}
	return cell{as: seconds, order: d.Seconds()}
}

// since is a cell with the time that has passed.
func since(now, t time.Time) cell {
	if t.IsZero() || t.Unix() <= 0 {
		return cell{as: seconds, order: unknown}
	}
	return cell{as: seconds, order: max(now.Sub(t), 0).Seconds()}
}

// until is a cell with the time that is left.
func until(now, t time.Time) cell {
	return cell{as: seconds, order: max(t.Sub(now), 0).Seconds()}.unless(t.IsZero())
}

// unless is a cell without its number, if that is not known.
func (c cell) unless(not bool) cell {
	if not {
		c.order = unknown
	}
	return c
}

// size is a cell with a number of bytes.
func size[T int | uint64](n T) cell { return cell{as: byteUnit, order: float64(n)} }

// perSecond is a cell with a rate, which may be unknown.
func perSecond(rate float64) cell { return cell{as: rateUnit, order: rate} }

// ratio is a cell with a/b.
func ratio(a, b uint64) cell {
	return cell{as: rateUnit, order: float64(a) / float64(b)}.unless(b == 0)
}

// text is what a page shows.
func (c cell) text() string {
	switch c.as {
	case words:
		return c.said
	case addrUnit:
		return clean(c.addr.String(), maxName)
	}
	if math.IsNaN(c.order) {
		return none
	}
	switch c.as {
	case rarely:
		if c.order == 0 {
			return none
		}
	case seconds:
		return duration(time.Duration(c.order * float64(time.Second)))
	case atLeast1:
		if c.order < 1 {
			return "under 1 s"
		}
		return duration(time.Duration(c.order * float64(time.Second)))
	case byteUnit:
		return bytesText(c.order)
	case rateUnit:
		if c.order > 0 && c.order < 10 {
			return strconv.FormatFloat(c.order, 'f', 1, 64)
		}
	}
	return grouped(uint64(math.Round(c.order)))
}

// json is what JSON has.
func (c cell) json() any {
	switch {
	case c.value != nil:
		return c.value
	case c.as == words, c.as == addrUnit:
		return c.text()
	case math.IsNaN(c.order):
		return nil
	}
	return c.order
}

func bytesText(v float64) string {
	unit := 0
	for ; v >= 1000 && unit < len(units)-1; unit++ {
		v /= 1000
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', decimals(v, unit), 64), ".0") + " " + units[unit]
}

var units = []string{"B", "kB", "MB", "GB", "TB", "PB"}

func decimals(v float64, unit int) int {
	if unit == 0 || v >= 100 {
		return 0
	}
	return 1
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
		return cell{said: none, value: counts}
	}
	return cell{said: strings.Join(parts, ", "), value: counts}
}
