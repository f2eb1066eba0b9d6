package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// t.FailNow, and so require and t.Fatal, must be called by the goroutine of the
// test: another would end itself and leave the test waiting, or passing.
func TestNoRequireOnForeignGoroutines(t *testing.T) {
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		name := strings.TrimPrefix(filepath.ToSlash(path), root+"/")
		calls, err := foreignRequires(name, src)
		found = append(found, calls...)
		return err
	})
	require.NoError(t, err)
	require.Empty(t, found)
}

// foreignRequires names the calls of require, t.Fatal and t.FailNow in functions
// that a go statement, a Go method or an AfterFunc starts.
func foreignRequires(name string, src []byte) (found []string, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	helpers := failingHelpers(file)
	look := func(fn ast.Node) {
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if what := called(call); failsNow(what) || helpers[what] {
				found = append(found, fmt.Sprintf("%s: %s", fset.Position(call.Pos()), what))
			}
			return !synchronous(call)
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			look(n.Call)
			return false
		case *ast.CallExpr:
			if what := called(n); strings.HasSuffix(what, ".Go") || strings.HasSuffix(what, "AfterFunc") {
				for _, arg := range n.Args {
					if lit, ok := arg.(*ast.FuncLit); ok {
						look(lit)
					}
				}
			}
		}
		return true
	})
	return found, nil
}

// called is the text of what a call calls: pkg.Func, x.Method or Func.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}

func failsNow(what string) bool {
	if strings.HasPrefix(what, "require.") {
		return true
	}
	x, method, _ := strings.Cut(what, ".")
	return (x == "t" || x == "b" || x == "tb") && (strings.HasPrefix(method, "Fatal") || method == "FailNow")
}

// synchronous calls run their functions with a t of their own.
func synchronous(call *ast.CallExpr) bool {
	what := called(call)
	return what == "t.Run" || what == "b.Run" || what == "synctest.Test"
}

// failingHelpers are the functions of the file that fail the test at once, by a
// t they are given: they must not be called there either.
func failingHelpers(file *ast.File) map[string]bool {
	helpers := map[string]bool{}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil || fn.Recv != nil || strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok {
				return false
			}
			if call, ok := n.(*ast.CallExpr); ok && failsNow(called(call)) {
				helpers[fn.Name.Name] = true
			}
			return true
		})
	}
	return helpers
}

func TestForeignRequiresAreSeen(t *testing.T) {
	got, err := foreignRequires("x_test.go", []byte(`package x
func TestX(t *testing.T) {
	require.NoError(t, nil)
	go func() { require.NoError(t, nil) }()
	var wg sync.WaitGroup
	wg.Go(func() { t.Fatal(); t.Error() })
	time.AfterFunc(0, func() { helper(t) })
	go assert.NoError(t, nil)
	t.Run("", func(t *testing.T) { require.NoError(t, nil) })
}
func helper(t *testing.T) { require.NoError(t, nil) }
`))
	require.NoError(t, err)
	require.Equal(t, []string{"x_test.go:4:14: require.NoError", "x_test.go:6:17: t.Fatal", "x_test.go:7:29: helper"}, got)
}
