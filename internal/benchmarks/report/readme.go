package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
)

// readmes are the pages, beside the folder of the benchmarks' page, whose section
// "Measured" repeats some of its figures.
var readmes = []string{"README.md", "README.zh-CN.md"}

// measuredBegins are the headings of that section.
var measuredBegins = []string{"\n## Measured\n", "<!-- Measured -->\n"}

// tableOf finds the figures of the benchmarks' page.
type tableOf struct {
	page string
	err  error // the first that was not found
}

// figure returns the number at the begin of a cell: of the table with the title, in
// the row with the name and the column with the head.
func (t *tableOf) figure(title, row, column string) float64 {
	_, text, found := strings.Cut(t.page, "\n**"+title+"** (")
	rows := pictures.Cells(text)
	if !found || len(rows) == 0 {
		t.fail("no table %q", title)
		return 0
	}
	at := -1
	for i, head := range rows[0] {
		if strings.HasPrefix(head, column) {
			at = i
			break
		}
	}
	for _, cells := range rows[1:] {
		if at < 0 || at >= len(cells) || strings.Trim(cells[0], "*") != row {
			continue
		}
		number, _, _ := strings.Cut(cells[at], " ")
		v, err := strconv.ParseFloat(strings.ReplaceAll(number, ",", ""), 64)
		if err == nil {
			return v
		}
	}
	t.fail("%q has no figure of %s in column %s", title, row, column)
	return 0
}

func (t *tableOf) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

// times is how many times a is b, and at least that many.
func times(a, b float64) string { return fmt.Sprint(math.Floor(a / b)) }

func oneDecimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func whole(v float64) string { return commas(strconv.FormatFloat(math.Round(v), 'f', 0, 64)) }

// commas groups the digits of a whole number.
func commas(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// readmeFigures are the numbers of README's tables, row by row, without those in the
// first column. An empty one stays as it is.
func readmeFigures(page string) (rows [][]string, err error) {
	t := &tableOf{page: page}
	const (
		many   = "256 callers, request and reply of 64 bytes"
		own    = "32 callers, each call with a connection of its own"
		piped  = "Pipelined on one connection"
		idle   = "Idle connections"
		line   = "A line of 64 KiB by its delimiter"
		read   = "Read frames of 64 bytes"
		write  = "Write frames of 64 bytes"
		ns     = "ns/op"
		allocs = "allocs/op"
	)
	theirs := t.figure(many, "gtcp PoolConn", ns)
	rows = append(rows,
		[]string{"1", times(theirs, t.figure(many, "Client, shared", ns)), times(theirs, t.figure(many, "pipeline, 1 connection", ns)),
			whole(t.figure(many, "Client, shared", allocs))},
		[]string{"1", whole(t.figure(own, "gtcp PoolConn", allocs)), ratio(t.figure(own, "Client, exclusive", "times gtcp PoolConn")),
			whole(t.figure(own, "Client, exclusive", allocs))})

	least, most, allocated, theirAllocated := math.Inf(1), 0.0, 0.0, 0.0
	for _, callers := range []int{1, 32, 256} {
		title := fmt.Sprintf("NewPoolConn, SendRecvPkg of 64 B, Close; callers: %d", callers)
		slower := 1 / t.figure(title, "gtcp", "ns/op: times facade")
		least, most = min(least, slower), max(most, slower)
		allocated = max(allocated, t.figure(title, "facade", allocs))
		theirAllocated = max(theirAllocated, t.figure(title, "gtcp", allocs))
	}
	rate := t.figure(piped, "gtcp", "requests/s")
	rows = append(rows,
		[]string{"1", whole(theirAllocated), ratio(least), ratio(most), whole(allocated)},
		[]string{"1", times(t.figure(piped, "server.Frames", "requests/s"), rate), times(t.figure(piped, "gnet", "requests/s"), rate)},
		[]string{oneDecimal(t.figure(idle, "gtcp", "bytes of RSS") / 1000), "", "", ""},
		[]string{"1", "1",
			oneDecimal(t.figure(read, "gtcp RecvPkg", ns) / t.figure(read, "framing Next, own buffer", ns)),
			oneDecimal(t.figure(write, "gtcp SendPkg", ns) / t.figure(write, "framing WriteFrame, coalesced", ns)), "0"},
		[]string{"1", whole(t.figure(line, "gtcp.RecvLine", allocs)),
			times(t.figure(line, "gtcp.RecvLine", ns), t.figure(line, "conn.ReadUntil, new slice", ns)), "1"})

	for _, title := range []string{
		"Bare pools, 64 connections, callers: 1", "Bare pools, 64 connections, callers: 32", "Bare pools, 4 connections, callers: 64",
	} {
		row := []string{"1"}
		for _, name := range []string{"puddlepool", "slotpool", "database/sql"} {
			row = append(row, ratio(t.figure(title, name, "times puddle")))
		}
		rows = append(rows, row)
	}
	return rows, t.err
}

var numeral = regexp.MustCompile(`\d[\d,.]*\d|\d`)

// withFigures puts the figures into the tables of README's section "Measured".
func withFigures(readme string, rows [][]string) (string, error) {
	begin := -1
	for _, heading := range measuredBegins {
		if i := strings.Index(readme, heading); i >= 0 {
			begin = i
		}
	}
	if begin < 0 {
		return "", errors.New("no section Measured")
	}
	var b strings.Builder
	b.WriteString(readme[:begin])
	rest := rows
	inTable, begun := false, false
	for text := range strings.Lines(readme[begin:]) {
		isRow := strings.HasPrefix(text, "| ") || strings.HasPrefix(text, "|-")
		switch {
		case !isRow:
			inTable = false
		case !inTable:
			inTable, begun = true, false // the head
		case !begun:
			begun = strings.HasPrefix(text, "|-")
		case len(rest) > 0:
			var err error
			if text, err = withRow(text, rest[0]); err != nil {
				return "", err
			}
			rest = rest[1:]
		}
		b.WriteString(text)
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("README has %d rows of figures too few", len(rest))
	}
	return b.String(), nil
}

// withRow replaces the numbers of a row, behind its first cell.
func withRow(text string, figures []string) (string, error) {
	first := strings.Index(text[1:], "|") + 1
	n := 0
	replaced := numeral.ReplaceAllStringFunc(text[first:], func(old string) string {
		n++
		if n <= len(figures) && figures[n-1] != "" {
			return figures[n-1]
		}
		return old
	})
	if n != len(figures) {
		return "", fmt.Errorf("%d numbers, wanted %d: %s", n, len(figures), text)
	}
	return text[:first] + replaced, nil
}

// writeReadmes brings the READMEs in step with the benchmarks' page.
func writeReadmes(pageFile, page string) error {
	rows, err := readmeFigures(page)
	if err != nil {
		return err
	}
	for _, name := range readmes {
		file := filepath.Join(filepath.Dir(pageFile), "..", name)
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // the page was written elsewhere
		}
		if err != nil {
			return err
		}
		changed, err := withFigures(string(text), rows)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}
