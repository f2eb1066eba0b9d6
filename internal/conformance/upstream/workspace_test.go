package upstream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/conformance/upstream"
)

// download fetches the upstream module once for all tests and returns the
// folder of its gtcp package.
var download = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "upstream")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module download\n"), 0o644); err != nil {
		return "", err
	}
	out, err := goCommand(dir, "mod", "download", "-json", upstream.Module+"@"+upstream.Version)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	return filepath.Join(module.Dir, "net", "gtcp"), nil
})

// upstreamDir is the folder of upstream's package; without the download there
// is nothing to compare with, and the test is skipped and says so.
func upstreamDir(t *testing.T) string {
	t.Helper()
	dir, err := download()
	if err != nil {
		t.Skipf("skipped: %s@%s cannot be downloaded here: %v", upstream.Module, upstream.Version, err)
	}
	return dir
}

// workspace makes a module outside the repository that requires this
// repository's root module by path and, where asked, upstream by version.
func workspace(t *testing.T, withUpstream bool) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))

	dir := t.TempDir()
	var mod strings.Builder
	fmt.Fprintf(&mod, "module compat\n\ngo 1.25\n\nrequire %s v0.0.0\n\nreplace %s => %s\n",
		upstream.Facade, upstream.Facade, root)
	if withUpstream {
		fmt.Fprintf(&mod, "\nrequire %s %s\n", upstream.Module, upstream.Version)
	}
	write(t, filepath.Join(dir, "go.mod"), mod.String())
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.sum"), string(sums))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// goCommand runs the go command in dir, free to add what its go.mod lacks.
func goCommand(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return stdout.Bytes(), err
}

// tail keeps an error readable when a whole test log comes with it.
func tail(b []byte) []byte {
	const most = 8 << 10
	return b[max(0, len(b)-most):]
}

// exitedNonZero says whether the command ran and failed, as a compile error
// or a failing test makes it.
func exitedNonZero(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit)
}
