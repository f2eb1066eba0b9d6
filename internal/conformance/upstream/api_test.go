package upstream_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/conformance/upstream"
)

// exported is one function or method of upstream's package: an expression
// that names it and the type it has there, both written as a user of the
// package would write them.
type exported struct{ expr, typ string }

// TestAPI makes one declaration of each upstream function and method,
//
//	var _ func(*gtcp.Conn, []byte, ...gtcp.Retry) error = (*gtcp.Conn).Send
//
// and lets the compiler say whether the facade has it with that signature.
func TestAPI(t *testing.T) {
	list := functions(t, upstreamDir(t))
	require.Len(t, list, 66, "functions and methods of %s", upstream.Version)
	dir := workspace(t, false)
	write(t, filepath.Join(dir, "api.go"), declarations(list))
	_, err := goCommand(dir, "build", "./...")
	require.NoError(t, err)
}

// TestAPISeesADifference proves that TestAPI can fail: one signature changed
// by one word must not compile.
func TestAPISeesADifference(t *testing.T) {
	list := functions(t, upstreamDir(t))
	for i := range list {
		if list[i].expr == "gtcp.NewConn" {
			list[i].typ = strings.Replace(list[i].typ, "time.Duration", "time.Month", 1)
		}
	}
	dir := workspace(t, false)
	write(t, filepath.Join(dir, "api.go"), declarations(list))
	_, err := goCommand(dir, "build", "./...")
	require.ErrorContains(t, err, "gtcp.NewConn")
	require.True(t, exitedNonZero(err))
}

// declarations is a Go file that uses every entry at its upstream type, and
// the exported constant, types and fields beside them.
func declarations(list []exported) string {
	var b strings.Builder
	b.WriteString("package compat\n\nimport (\n\t\"crypto/tls\"\n\t\"net\"\n\t\"time\"\n\n")
	fmt.Fprintf(&b, "\t%q\n)\n\nvar _ *tls.Config\n\n", upstream.Facade)
	for _, e := range list {
		fmt.Fprintf(&b, "var _ %s = %s\n", e.typ, e.expr)
	}
	b.WriteString(`
const _ string = gtcp.FreePortAddress

var (
	_ net.Conn  = gtcp.Conn{}.Conn
	_ *gtcp.Conn = gtcp.PoolConn{}.Conn
	_           = gtcp.PkgOption{HeaderSize: int(1), MaxDataSize: int(1), Retry: gtcp.Retry{}}
	_           = gtcp.Retry{Count: int(1), Interval: time.Duration(1)}
	_ net.Conn  = (*gtcp.Conn)(nil)
	_ net.Conn  = (*gtcp.PoolConn)(nil)
)
`)
	return b.String()
}

// functions lists the exported functions and methods of the package in dir.
func functions(t *testing.T, dir string) []exported {
	t.Helper()
	files := sources(t, dir)
	local := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, s := range g.Specs {
					local[s.(*ast.TypeSpec).Name.Name] = true
				}
			}
		}
	}
	var list []exported
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.IsExported() {
				list = append(list, entry(t, fn, local))
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].expr < list[j].expr })
	return list
}

// sources parses the package's files, tests left out.
func sources(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}

// entry writes fn from outside its package: local types are qualified, and a
// method becomes a method expression whose first parameter is its receiver.
func entry(t *testing.T, fn *ast.FuncDecl, local map[string]bool) exported {
	t.Helper()
	typ := &ast.FuncType{Params: &ast.FieldList{}, Results: fn.Type.Results}
	expr := "gtcp." + fn.Name.Name
	if fn.Recv != nil {
		receiver := fn.Recv.List[0].Type
		typ.Params.List = append(typ.Params.List, &ast.Field{Type: receiver})
		expr = "(" + source(t, receiver, local) + ")." + fn.Name.Name
	}
	for _, p := range fn.Type.Params.List {
		for range max(1, len(p.Names)) {
			typ.Params.List = append(typ.Params.List, &ast.Field{Type: p.Type})
		}
	}
	return exported{expr: expr, typ: source(t, typ, local)}
}

// source prints a type with each of the package's own names qualified.
func source(t *testing.T, typ ast.Expr, local map[string]bool) string {
	t.Helper()
	var renamed []*ast.Ident
	ast.Inspect(typ, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && local[id.Name] {
			id.Name = "gtcp." + id.Name
			renamed = append(renamed, id)
		}
		_, selector := n.(*ast.SelectorExpr)
		return !selector
	})
	var b strings.Builder
	require.NoError(t, printer.Fprint(&b, token.NewFileSet(), typ))
	for _, id := range renamed {
		id.Name = strings.TrimPrefix(id.Name, "gtcp.")
	}
	return b.String()
}
