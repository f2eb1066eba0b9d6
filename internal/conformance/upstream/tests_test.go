package upstream_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/conformance/upstream"
)

// wantTests is how many test functions upstream's package has at Version.
const wantTests = 48

// TestUpstreamTests runs upstream's own tests for the package against the
// facade. They are copied out of the downloaded module into a temporary one,
// and of their text only the import path changes.
func TestUpstreamTests(t *testing.T) {
	dir := borrowTests(t)
	t.Run("plain", func(t *testing.T) { requireAllPass(t, dir) })
	t.Run("race", func(t *testing.T) {
		if runtime.GOOS == "windows" || os.Getenv("CGO_ENABLED") == "0" {
			t.Skip("skipped: the race detector needs cgo")
		}
		requireAllPass(t, dir, "-race")
	})
}

// borrowTests makes a module of upstream's test files and returns its folder.
func borrowTests(t *testing.T) string {
	t.Helper()
	from := upstreamDir(t)
	dir := workspace(t, true)
	paths, err := filepath.Glob(filepath.Join(from, "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		write(t, filepath.Join(dir, filepath.Base(path)), changeImport(string(text)))
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(from, "testdata"))))
	if _, err := goCommand(dir, "mod", "tidy"); err != nil {
		t.Skipf("skipped: what upstream's tests need cannot be downloaded here: %v", err)
	}
	return dir
}

// changeImport does what a migrating user does, and nothing else.
func changeImport(text string) string {
	return strings.ReplaceAll(text, `"`+upstream.Package+`"`, `"`+upstream.Facade+`"`)
}

func requireAllPass(t *testing.T, dir string, flags ...string) {
	t.Helper()
	args := append([]string{"test", "-json", "-count=1"}, flags...)
	out, err := goCommand(dir, append(args, ".")...)
	passed, failed := results(t, out)
	require.Empty(t, failed, "upstream tests that fail against the facade")
	require.NoError(t, err)
	require.Len(t, passed, wantTests)
}

// results reads go test's JSON stream and sorts the test functions by outcome.
// A test that neither passed nor failed was skipped, which none may be.
func results(t *testing.T, stream []byte) (passed, failed []string) {
	t.Helper()
	for _, line := range bytes.Split(stream, []byte("\n")) {
		var event struct{ Action, Test string }
		if json.Unmarshal(line, &event) != nil || !strings.HasPrefix(event.Test, "Test") {
			continue
		}
		switch event.Action {
		case "pass":
			passed = append(passed, event.Test)
		case "fail", "skip":
			failed = append(failed, event.Test)
		}
	}
	sort.Strings(passed)
	return passed, failed
}
