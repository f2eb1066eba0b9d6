package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeHasTheFiguresOfThePage: make charts brings README in step.
func TestReadmeHasTheFiguresOfThePage(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "benchmarks.md"))
	require.NoError(t, err)
	rows, err := readmeFigures(string(page))
	require.NoError(t, err)
	for _, name := range readmes {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		want, err := withFigures(string(text), rows)
		require.NoError(t, err, name)
		require.Equal(t, want, string(text), "%s: run make charts", name)
	}
}

func TestWithFigures(t *testing.T) {
	const readme = "# x\n\n| 9 |\n|---|\n| 9 |\n\n## Measured\n\n| | a | b |\n|---|---|---|\n| of 64 | 1 | 2 times (3) |\n\n| | c |\n|---|---|\n| 5 callers | 1,234.5 |\n\n## Limits\n\n| | d |\n|---|---|\n| 1 | 2 |\n"
	got, err := withFigures(readme, [][]string{{"1", "", "7"}, {"0.5"}})
	require.NoError(t, err)
	require.Equal(t, "# x\n\n| 9 |\n|---|\n| 9 |\n\n## Measured\n\n| | a | b |\n|---|---|---|\n| of 64 | 1 | 2 times (7) |\n\n| | c |\n|---|---|\n| 5 callers | 0.5 |\n\n## Limits\n\n| | d |\n|---|---|\n| 1 | 2 |\n", got)

	for name, rows := range map[string][][]string{
		"numbers": {{"1", "2"}},
		"too few": {{"1", "2", "3"}, {"1"}, {"1"}, {"1"}},
	} {
		_, err := withFigures(readme, rows)
		require.ErrorContains(t, err, name)
	}
	_, err = withFigures("# x\n", nil)
	require.ErrorContains(t, err, "no section")
}

func TestFigureThatIsMissing(t *testing.T) {
	for want, page := range map[string]string{
		"no table":      "",
		"has no figure": "\n**t** (1 rounds)\n\n|  | ns/op |\n|---|---:|\n| b | 1 |\n",
	} {
		table := &tableOf{page: page}
		table.figure("t", "a", "ns/op")
		require.ErrorContains(t, table.err, want)
	}
	table := &tableOf{page: "\n**t** (1 rounds)\n\n|  | ns/op |\n|---|---:|\n| **a** | 1,234 (1 to 2) |\n"}
	require.Equal(t, 1234.0, table.figure("t", "a", "ns/op"))
	require.NoError(t, table.err)
	require.Equal(t, "1,234,567", commas("1234567"))
}
