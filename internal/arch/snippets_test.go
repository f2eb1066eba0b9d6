package arch_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// snippet finds the Go code in a document. A comment before it names the file that
// the code is a part of.
var snippet = regexp.MustCompile("(?ms)(?:^<!-- ([^\n]+\\.go) -->\n)?^```go\n(.*?)^```$")

// used finds the packages that code names, and imports the ones it imports.
var (
	used    = regexp.MustCompile(`\b([a-z]+)\.[A-Z]`)
	imports = regexp.MustCompile(`(?m)^import "([^"]+)".*$`)
)

// unused finds what a snippet may do and other code may not.
var unused = regexp.MustCompile(`^\S*(\.md|snippet\d+\.go):.*(declared|imported) and not used`)

// packages are those a snippet may use without an import.
var packages = map[string]string{
	"context": "context", "fmt": "fmt", "log": "log", "net": "net", "testing": "testing", "time": "time",
	"http":       "net/http",
	"expvar":     "expvar",
	"debugpage":  "github.com/seed-99d6a01a/gtcp/server/debugpage",
	"gtcp":       "github.com/seed-99d6a01a/gtcp",
	"conn":       "github.com/seed-99d6a01a/gtcp/conn",
	"framing":    "github.com/seed-99d6a01a/gtcp/framing",
	"server":     "github.com/seed-99d6a01a/gtcp/server",
	"pool":       "github.com/seed-99d6a01a/gtcp/pool",
	"balance":    "github.com/seed-99d6a01a/gtcp/pool/balance",
	"resolve":    "github.com/seed-99d6a01a/gtcp/pool/resolve",
	"pooltest":   "github.com/seed-99d6a01a/gtcp/pool/pooltest",
	"custompool": "github.com/seed-99d6a01a/gtcp/examples/custompool",
}

func TestSnippetsCompile(t *testing.T) {
	var sources []string
	parts := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".md" || strings.HasSuffix(path, ".zh-CN.md") {
			return err // TestTranslationsAreInStep compares the code of a translation
		}
		text, err := os.ReadFile(path)
		for _, match := range snippet.FindAllStringSubmatch(string(text), -1) {
			if file := match[1]; file != "" {
				code, err := os.ReadFile(filepath.Join(root, file))
				require.NoError(t, err, path)
				require.True(t, isPart(match[2], string(code)), "%s: this is no part of %s:\n%s", path, file, match[2])
				parts++
				continue
			}
			sources = append(sources, source(path, match[2], len(sources)))
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	require.NotZero(t, parts)
	require.Empty(t, compile(t, sources))
}

func TestBrokenSnippetsAreSeen(t *testing.T) {
	for code, want := range map[string]string{
		"client := gtcp.NewClient(addr)":                          "not enough arguments",
		"p, err := pool.New(conn.Target{}, pool.Config{Maxi: 1})": "unknown field Maxi",
		"for {":                    "syntax error",
		"func f() { undefined() }": "undefined: undefined",
		"import \"github.com/seed-99d6a01a/gtcp/no\"": "no",
	} {
		require.Contains(t, compile(t, []string{source("x.md", code, 0)}), want, code)
	}
}

// isPart reports whether the lines of a snippet follow each other in a file.
func isPart(snippet, file string) bool {
	return strings.Contains("\n"+file, "\n"+snippet)
}

func TestPartsOfFilesAreSeen(t *testing.T) {
	const file = "package p\n\nfunc f() {\n\tg()\n}\n"
	require.True(t, isPart(file, file))
	require.True(t, isPart("func f() {\n\tg()\n", file))
	require.False(t, isPart("\tg(1)\n", file))
	require.False(t, isPart("g()\n", file), "a part begins with a line")
	match := snippet.FindAllStringSubmatch("<!-- a/b.go -->\n```go\nx\n```\n\n```go\ny\n```\n", -1)
	require.Equal(t, "a/b.go", match[0][1])
	require.Empty(t, match[1][1])
}

// source makes a file of a snippet: its declarations as they are, its statements
// in a function that has a context and an address.
func source(path, code string, n int) string {
	var b strings.Builder
	b.WriteString("package snippets\n\nimport \"context\"\n")
	known := map[string]bool{"context": true}
	for _, match := range imports.FindAllStringSubmatch(code, -1) {
		fmt.Fprintf(&b, "import %q\n", match[1])
		known[match[1][strings.LastIndex(match[1], "/")+1:]] = true
	}
	for _, match := range used.FindAllStringSubmatch(code, -1) {
		if name := match[1]; packages[name] != "" && !known[name] {
			fmt.Fprintf(&b, "import %q\n", packages[name])
			known[name] = true
		}
	}
	code = imports.ReplaceAllString(code, "")
	if !strings.HasPrefix(code, "func ") {
		code = fmt.Sprintf("func snippet%d(ctx context.Context, addr string) {\n%s\n}\n", n, code)
	}
	fmt.Fprintf(&b, "var _ context.Context\n//line %s:1\n%s", filepath.Base(path), code)
	return b.String()
}

// compile returns what the compiler says of the sources, as files of one package
// that exists only for it. That a snippet does not use all it declares is no
// fault of a snippet.
func compile(t *testing.T, sources []string) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(root, "internal", "snippets"))
	require.NoError(t, err)
	files := map[string]string{}
	for n, source := range sources {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("snippet%d.go", n))
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		files[filepath.Join(folder, filepath.Base(file))] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": files})
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(config, overlay, 0o600))

	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-overlay", config, "./internal/snippets")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil || len(out) == 0 {
		require.NoError(t, err)
		return ""
	}
	var faults []string
	for line := range strings.Lines(string(out)) {
		if !unused.MatchString(line) && !strings.HasPrefix(line, "#") {
			faults = append(faults, line)
		}
	}
	return strings.Join(faults, "")
}
