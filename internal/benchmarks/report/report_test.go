package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
)

func sample(title string) compare.Table {
	return compare.Table{
		Title: title, Columns: []string{"ns/op"}, Compared: 1, Bases: []string{"ours"},
		Settings: compare.Settings{Rounds: 3, Length: time.Second},
		Rows: []compare.Row{
			{Name: "ours", Ours: true, Figures: [][]float64{{1, 2, 3}}},
			{Name: "theirs", Figures: [][]float64{{5, 10, 15}}},
		},
		Goals: []compare.Goal{
			{Ref: "9.1", Says: "four times as fast", Of: "theirs", To: []string{"ours"}, Want: compare.AtLeast(4)},
			{Ref: "9.2", Says: "six times as fast", Of: "theirs", To: []string{"ours"}, Want: compare.AtLeast(6)},
		},
	}
}

// TestDocument renders the real document with a table for every topic.
func TestDocument(t *testing.T) {
	tables := map[string][]compare.Table{}
	for _, topic := range topics {
		tables[topic] = []compare.Table{sample("Table of " + topic)}
	}
	text, err := render(document, machine{Date: "2038-01-19", Go: "1.99", CPUs: 7}, tables)
	require.NoError(t, err)
	require.Contains(t, text, "| date | 2038-01-19 |")
	require.NotContains(t, text, "{{")
	for _, topic := range topics {
		require.Contains(t, text, "\n## "+topic+"\n", "the goals link here")
		require.Contains(t, text, "| 9.1 | ["+topic+"](#"+topic+") | 1 of 1 |  |\n")
		require.Contains(t, text, "| 9.2 | ["+topic+"](#"+topic+") | 0 of 1 | Table of "+topic+": six times as fast: 5, wanted at least 6 |\n")
		require.Contains(t, text, "**Table of "+topic+"** (3 rounds)\n\n![Chart of the table below: Table of "+topic+"](charts/bench-"+topic+"-table-of-"+topic+".svg)\n\n|  | ns/op |")
	}
	drawn, err := charts(text)
	require.NoError(t, err)
	require.Len(t, drawn, len(topics), "a chart for each table")
	require.Contains(t, text, "| theirs | 10 | 5 (5 to 5) |\n\n- 9.1 **reached**: four times as fast: 5, wanted at least 4\n- 9.2 **missed**: six times")
}

// TestPrograms runs every program for a moment and reports what they found.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs every program")
	}
	t.Chdir("..")
	out := filepath.Join(t.TempDir(), "benchmarks.md")
	require.NoError(t, report(t.Context(), []string{"-short", "-rounds", "1"}, out))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "| gtcp RecvPkg |")
	require.Contains(t, string(text), "| **framing Next, conn** |")
	drawn, err := pictures.Read(out, prefix)
	require.NoError(t, err)
	require.Len(t, drawn, strings.Count(string(text), " rounds)\n"), "a chart for each table")
}

func TestRenderNoticesWhatIsLeftOut(t *testing.T) {
	tables := map[string][]compare.Table{"codec": {sample("x")}}
	_, err := render("no place", machine{}, tables)
	require.ErrorContains(t, err, "no place for codec")
	_, err = render(`{{tables "codec"}} {{tables "conn"}}`, machine{}, tables)
	require.ErrorContains(t, err, "no topic conn was run")
}

// TestTopics finds a program that the report has forgotten.
func TestTopics(t *testing.T) {
	mains, err := filepath.Glob("../*/main.go")
	require.NoError(t, err)
	var folders []string
	for _, file := range mains {
		if folder := filepath.Base(filepath.Dir(file)); folder != "report" && folder != "chaos" { // chaos has its own report
			folders = append(folders, folder)
		}
	}
	require.ElementsMatch(t, topics, folders)
}

func TestRun(t *testing.T) {
	for script, want := range map[string]struct {
		titles []string
		err    string
	}{
		`echo '{"Title":"a"}{"Title":"b"}'`: {titles: []string{"a", "b"}},
		`echo '{"Title":"a"}'; exit 3`:      {titles: []string{"a"}, err: "exit status 3"},
		`echo '{"Title":"a"} oops'; exit 0`: {titles: []string{"a"}, err: "reading a table"},
		`true`:                              {err: "no tables"},
	} {
		t.Run(script, func(t *testing.T) {
			tables, err := run(exec.CommandContext(t.Context(), "sh", "-c", script), io.Discard)
			if want.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want.err)
			}
			var titles []string
			for _, table := range tables {
				titles = append(titles, table.Title)
			}
			require.Equal(t, want.titles, titles)
		})
	}
}

func TestMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "info")
	require.NoError(t, os.WriteFile(file, []byte("processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n"), 0o600))
	require.Equal(t, "A: B", field(file, "model name"))
	require.Equal(t, "unknown", field(file, "model"))
	require.Equal(t, "unknown", line(filepath.Join(t.TempDir(), "none")))
	require.NotEmpty(t, thisMachine().Date)
}
