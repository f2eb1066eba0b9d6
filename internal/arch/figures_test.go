package arch_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// measured are the tables of docs/chaos.md, which make chaos writes.
type measured struct {
	t    *testing.T
	page string
}

// cell is the text of one cell of the table of a section.
func (m measured) cell(section, row, column string) string {
	m.t.Helper()
	_, text, found := strings.Cut(m.page, "\n## "+section+"\n")
	require.True(m.t, found, section)
	text, _, _ = strings.Cut(text, "\n## ")
	var names []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i, c := range cells {
			cells[i] = strings.TrimSpace(c)
		}
		switch cells[0] {
		case "case":
			names = cells
		case row:
			i := slices.Index(names, column)
			require.Positive(m.t, i, column)
			return cells[i]
		}
	}
	require.Fail(m.t, "no row "+row+" in "+section)
	return ""
}

func (m measured) number(section, row, column string) float64 {
	m.t.Helper()
	n, err := strconv.ParseFloat(m.cell(section, row, column), 64)
	require.NoError(m.t, err)
	return n
}

// with is one of the three numbers of a cell of the section of other settings: right
// replies, the longest time without one, calls that failed.
func (m measured) with(row, column string, i int) string {
	m.t.Helper()
	return strings.Split(m.cell("With other settings", row, column), " / ")[i]
}

// after is how long after so many seconds the first call succeeded.
func (m measured) after(row, column string, seconds float64) string {
	m.t.Helper()
	return fmt.Sprintf("%.1f", math.Abs(m.number("Outage", row, column)-seconds))
}

// TestFiguresOfNetworks holds the numbers in docs/networks.md against the tables of
// docs/chaos.md. If make chaos has measured others, correct the sentences.
func TestFiguresOfNetworks(t *testing.T) {
	chaos, err := os.ReadFile(filepath.Join(root, "docs", "chaos.md"))
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "networks.md"))
	require.NoError(t, err)
	text := strings.Join(strings.Fields(string(page)), " ")
	m := measured{t, string(chaos)}
	const (
		good                      = "Goodput during the fault"
		loss, hole                = "30 % loss", "MTU hole, 5 % of the requests"
		busy, idle, two           = "busy connections dropped", "idle connections dropped", "two addresses, the first host dies"
		repeats, sharedRepeats    = "exclusive + repeats", "shared + repeats"
		unacknowledged, heartbeat = "shared + 1 s unacknowledged", "shared + heartbeat"
	)
	longest := func(columns ...string) string {
		var all []float64
		for _, c := range columns {
			all = append(all, m.number("The longest call", "no deadline, partition of 40 s", c))
		}
		return fmt.Sprintf("%.0f to %.0f s", math.Floor(slices.Min(all)), math.Ceil(slices.Max(all)))
	}
	pause := func(column string) string { // of 4 s
		total, err := strconv.ParseFloat(m.with(idle, column, 1), 64)
		require.NoError(t, err)
		return fmt.Sprintf("| %s | %.1f |", m.with(idle, column, 2), total-4)
	}
	row := func(column string) string {
		return fmt.Sprintf("| %s | %s |", m.with(busy, column, 2), m.with(busy, column, 1))
	}
	for _, sentence := range []string{
		"A shared client has its next success after " + m.after(idle, "shared", 4) + " s",
		"| exclusive, `Pool.MaxIdleTime` of 1 s " + pause("exclusive + 1 s idle"),
		"| shared, `Pipeline.MaxIdleTime` of 1 s " + pause("shared + 1 s idle"),
		"| shared, `Pipeline.Heartbeat` each second " + pause(heartbeat),
		"| exclusive, calls declared `Idempotent`, 300 ms an attempt " + pause(repeats),
		m.after(busy, "shared", 0) + " s until the next success",
		"| exclusive, `Idempotent`, four attempts of 300 ms " + row(repeats),
		"| shared, `Dialer.UserTimeout` of 1 s " + row(unacknowledged),
		"| shared, `Idempotent`, four attempts of 300 ms " + row(sharedRepeats),
		"the outage is " + m.after(two, "exclusive", 0) + " s for a client of either kind, and " + m.after(two, "pool", 0) + " s for a `pool.Pool`",
		"the outage is " + m.after(two, "shared", 0) + " s for a client of either kind",
		"At 30 % loss an exclusive client gets " + m.cell(good, loss, "exclusive") + " right replies a second of 200, and a shared one " + m.cell(good, loss, "shared") + ".",
		m.with(loss, unacknowledged, 0) + " in another.",
		"makes both worse (" + m.with(loss, repeats, 0) + " and " + m.with(loss, sharedRepeats, 0) + ")",
		"the other ones succeed: " + m.cell(good, hole, "exclusive") + " a second.",
		"on the same connection: " + m.cell(good, hole, "shared") + " a second.",
		"A call without a deadline ends after " + longest("exclusive", "shared"),
		"With other clients it took " + longest("go-redis", "net/http", "gRPC"),
	} {
		require.Contains(t, text, sentence, "as docs/chaos.md has it")
	}
	for _, kind := range []string{"exclusive", "shared", "pool", "facade"} {
		require.Contains(t, text, "next success within 0.1 s after the change of the name")
		require.LessOrEqual(t, m.number("Outage", "host dies, its name moves after 3 s", kind), 3.1, kind)
	}
}
