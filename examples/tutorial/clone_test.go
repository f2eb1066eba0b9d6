package tutorial_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTutorialWithAClone does what the page says for a clone of the repository, in a
// module of its own: the commands of step 1, and go mod tidy in steps 1 and 5.
func TestTutorialWithAClone(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	require.NoError(t, err)
	clone, err := filepath.Abs("../..")
	require.NoError(t, err)
	folder := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), out)
	}

	run("mod", "init", "example.com/shout")
	edits := regexp.MustCompile(`(?m)^go (mod edit .*)$`).FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, edits)
	for _, edit := range edits {
		run(strings.Fields(strings.ReplaceAll(edit[1], "/path/to/the/clone", clone))...)
	}
	for _, changed := range [][2]string{{"step1", "server"}, {"step1", "client"}, {"step5", "server"}} {
		source, err := os.ReadFile(filepath.Join(changed[0], changed[1], "main.go"))
		require.NoError(t, err)
		program := filepath.Join(folder, changed[1])
		require.NoError(t, os.MkdirAll(program, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(program, "main.go"), source, 0o600))
		run("mod", "tidy")
		run("vet", "./...")
	}
}
