package upstream_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/conformance/upstream"
)

// TestDefectTestsFailOnUpstream takes the facade's own tests of upstream's
// defects to upstream: the import path changes the other way round, and each
// test must fail there. One that passes tests nothing.
func TestDefectTestsFailOnUpstream(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: some of the defects are hangs")
	}
	if runtime.GOOS != "linux" {
		t.Skip("skipped: a race detector and Linux sockets are needed")
	}
	binary := buildDefectTests(t)
	out, err := exec.Command(binary, "-test.list", "^TestDefect").Output()
	require.NoError(t, err)
	names := strings.Fields(string(out))
	require.GreaterOrEqual(t, len(names), 25)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(binary, "-test.run", "^"+name+"$", "-test.timeout", "60s")
			cmd.Env = append(os.Environ(), "GTCP_TEST_HANG=2s")
			out, err := cmd.CombinedOutput()
			require.True(t, exitedNonZero(err), "passes on upstream:\n%s", tail(out))
			require.False(t, bytes.Contains(out, []byte("no tests to run")))
		})
	}
}

// buildDefectTests compiles the tests against upstream, with the race detector.
func buildDefectTests(t *testing.T) string {
	t.Helper()
	upstreamDir(t)
	dir := workspace(t, true)
	paths, err := filepath.Glob("../../../facade_defects_*_test.go")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range append(paths, "../../../facade_helpers_test.go") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		reversed := strings.ReplaceAll(string(text), `"`+upstream.Facade+`"`, `"`+upstream.Package+`"`)
		write(t, filepath.Join(dir, filepath.Base(path)), reversed)
	}
	if _, err := goCommand(dir, "mod", "tidy"); err != nil {
		t.Skipf("skipped: what upstream needs cannot be downloaded here: %v", err)
	}
	binary := filepath.Join(dir, "defects.test")
	_, err = goCommand(dir, "test", "-c", "-race", "-o", binary, ".")
	require.NoError(t, err)
	return binary
}
