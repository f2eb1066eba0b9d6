package upstream_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/conformance/upstream"
)

// heartLine is what the main job prints: the answer, then both addresses.
var heartLine = regexp.MustCompile(
	`^> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (127\.0\.0\.1:\d+) (127\.0\.0\.1:\d+)$`)

// TestHeartExampleMigrates runs one program twice: with upstream's import as
// it was written for gtcp, and with that one line changed. Both must print the
// same: three answers over one and the same pooled connection.
func TestHeartExampleMigrates(t *testing.T) {
	upstreamDir(t)
	text, err := os.ReadFile("testdata/heart.go.txt")
	require.NoError(t, err)
	require.Contains(t, string(text), `"`+upstream.Package+`"`)

	dir := workspace(t, true)
	write(t, filepath.Join(dir, "before", "main.go"), string(text))
	write(t, filepath.Join(dir, "after", "main.go"), changeImport(string(text)))
	if _, err := goCommand(dir, "mod", "tidy"); err != nil {
		t.Skipf("skipped: what upstream needs cannot be downloaded here: %v", err)
	}
	for _, program := range []string{"before", "after"} {
		t.Run(program, func(t *testing.T) {
			out, err := goCommand(dir, "run", "./"+program)
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			require.Len(t, lines, 3)
			first := heartLine.FindStringSubmatch(lines[0])
			require.NotNil(t, first, lines[0])
			for _, line := range lines {
				m := heartLine.FindStringSubmatch(line)
				require.NotNil(t, m, line)
				require.Equal(t, first[1:], m[1:], "one connection serves every round")
			}
		})
	}
}
