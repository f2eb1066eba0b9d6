package pictures_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCells(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       [][]string
	}{
		{"none", "text\nmore", nil},
		{"one", "text\n\n|  | a |\n|---|---:|\n| x | 1 |\n\n| y | 2 |\n", [][]string{{"", "a"}, {"x", "1"}}},
		{"to the end", "| a | b |\n|---|---|\n| c |  |", [][]string{{"a", "b"}, {"c", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, pictures.Cells(c.text))
		})
	}
}

func TestWriteRemovesOnlyItsOwn(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	first := map[string][]byte{"a-1.svg": []byte("1"), "a-2.svg": []byte("2")}
	require.NoError(t, pictures.Write(page, "a-", first))
	got, err := pictures.Read(page, "a-")
	require.NoError(t, err)
	require.Equal(t, first, got)

	require.NoError(t, pictures.Write(page, "b-", map[string][]byte{"b-1.svg": []byte("3")}))
	require.NoError(t, pictures.Write(page, "a-", map[string][]byte{"a-2.svg": []byte("4")}))
	entries, err := os.ReadDir(pictures.Folder(page))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"a-2.svg", "b-1.svg"}, names)
}
