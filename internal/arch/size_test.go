package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root             = "../.."
	maxFileLines     = 500
	maxFunctionLines = 70
)

// folders are the only ones at the top; bin is what make builds, not committed.
var folders = []string{".ci", ".git", "conn", "framing", "pool", "retry", "server", "internal", "examples", "docs", "bin"}

func TestTopLevelFolders(t *testing.T) {
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, unknownFolders(entries))
}

func unknownFolders(entries []fs.DirEntry) (found []string) {
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(folders, e.Name()) {
			found = append(found, e.Name())
		}
	}
	return found
}

func TestSizes(t *testing.T) {
	var found []string
	files := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		tooLarge, err := oversize(strings.TrimPrefix(filepath.ToSlash(path), root+"/"), src)
		found = append(found, tooLarge...)
		return err
	})
	require.NoError(t, err)
	require.Empty(t, found)
	require.Greater(t, files, 10, "the walk must have found the tree")
}

// oversize names the file and each of its functions that are too long. A
// function's lines run from its func to its closing brace.
func oversize(name string, src []byte) (found []string, err error) {
	if n := strings.Count(string(src), "\n"); n > maxFileLines {
		found = append(found, fmt.Sprintf("%s: %d lines", name, n))
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return found, err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := fset.Position(f.End()).Line - fset.Position(f.Type.Func).Line + 1; n > maxFunctionLines {
			found = append(found, fmt.Sprintf("%s: %s: %d lines", name, f.Name.Name, n))
		}
	}
	return found, nil
}

func TestOversizeIsSeen(t *testing.T) {
	function := func(lines int) string { return "func f() {" + strings.Repeat("\n", lines-1) + "}\n" }
	for _, c := range []struct {
		name string
		src  string
		want []string
	}{
		{"within both", "package p\n" + function(70) + function(70), nil},
		{"function", "package p\n// doc\n// doc\n" + function(71), []string{"x.go: f: 71 lines"}},
		{"method", "package p\ntype t int\nfunc (t) g() {" + strings.Repeat("\n", 99) + "}\n", []string{"x.go: g: 100 lines"}},
		{"file at the limit", "package p\n" + strings.Repeat("\n", 499), nil},
		{"file", "package p\n" + strings.Repeat("\n", 500), []string{"x.go: 501 lines"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := oversize("x.go", []byte(c.src))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestUnknownFolderIsSeen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"conn", "utils", ".github"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "common"), nil, 0o644))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, []string{".github", "utils"}, unknownFolders(entries))
}
