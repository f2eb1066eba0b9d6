package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dropped are the words that exported comments and the documents no longer use,
// and what they say instead: one act, one word. A name of code (Lease, or
// anything between backquotes) may be what it is.
var dropped = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b([Ll]oan(s|ed|ing)?|[Ll]end(s|ing|er)?|[Ll]ent)\b`), "acquire, checkout, return"},
	{regexp.MustCompile(`\b[Bb]orrow(s|ed|ing)?\b`), "acquire, check out"},
	{regexp.MustCompile(`\b[Bb]orrowers?\b`), "caller"},
	{regexp.MustCompile(`\b(lease[sd]?|leasing|Leases)\b`), "checkout"},
	{regexp.MustCompile(`\b([Aa]n|[Tt]he|its|his|no|every|late) answers?\b`), "reply"},
	{regexp.MustCompile(`\b[Rr]esponses?\b`), "reply"},
}

// uncleaned may use them: a lease is what etcd calls it, and make bench writes
// docs/benchmarks.md.
var uncleaned = []string{"pool/resolve/etcdresolve", "docs/benchmarks.md"}

func TestDroppedWords(t *testing.T) {
	found := map[string][]string{} // by package or document
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), root+"/")
		switch {
		case e.IsDir() && slices.Contains([]string{".git", "testdata", "internal", "bin"}, e.Name()):
			return filepath.SkipDir
		case name == "README.md" || strings.HasPrefix(name, "docs/") && strings.HasSuffix(name, ".md"):
			text, err := os.ReadFile(path)
			found[name] = append(found[name], droppedInDocument(name, string(text))...)
			return err
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			src, err := os.ReadFile(path)
			require.NoError(t, err)
			pkg := filepath.ToSlash(filepath.Dir(name))
			words, err := droppedInExports(name, src)
			found[pkg] = append(found[pkg], words...)
			return err
		}
		return nil
	})
	require.NoError(t, err)
	require.Contains(t, found, "conn", "the walk must have found the tree")
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.ContainsFunc(uncleaned, func(pattern string) bool { return matches(pattern, name) }) {
			require.Empty(t, found[name])
		}
	}
}

// code is what words in documents do not count in: fenced, between backquotes.
var code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")

func droppedInDocument(name, text string) (found []string) {
	text = code.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) })
	line := 0
	for s := range strings.Lines(text) {
		line++
		found = append(found, droppedIn(fmt.Sprintf("%s:%d", name, line), s)...)
	}
	return found
}

func droppedIn(at, text string) (found []string) {
	for _, d := range dropped {
		for _, word := range d.pattern.FindAllString(text, -1) {
			found = append(found, fmt.Sprintf("%s: %q; write %s", at, word, d.instead))
		}
	}
	return found
}

// droppedInExports looks at the comments a user reads: of the package, and of
// exported declarations, methods and fields.
func droppedInExports(name string, src []byte) (found []string, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	look := func(groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if g == nil {
				continue
			}
			for _, c := range g.List {
				found = append(found, droppedIn(fset.Position(c.Pos()).String(), code.ReplaceAllString(c.Text, ""))...)
			}
		}
	}
	look(file.Doc)
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				look(d.Doc)
			}
		case *ast.GenDecl:
			lookIntoSpecs(d, look)
		}
	}
	return found, nil
}

func exportedReceiver(d *ast.FuncDecl) bool {
	exported := true
	if d.Recv != nil {
		ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				exported = id.IsExported()
				return false // not what it is generic in
			}
			return exported
		})
	}
	return exported
}

func lookIntoSpecs(d *ast.GenDecl, look func(...*ast.CommentGroup)) {
	exported := false
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if !s.Name.IsExported() {
				continue
			}
			exported = true
			look(s.Doc, s.Comment)
			ast.Inspect(s.Type, func(n ast.Node) bool {
				if f, ok := n.(*ast.Field); ok && (len(f.Names) == 0 || f.Names[0].IsExported()) {
					look(f.Doc, f.Comment)
				}
				return true
			})
		case *ast.ValueSpec:
			if s.Names[0].IsExported() {
				exported = true
				look(s.Doc, s.Comment)
			}
		}
	}
	if exported {
		look(d.Doc)
	}
}

func TestDroppedWordsAreSeen(t *testing.T) {
	require.Empty(t, droppedInDocument("x.md", "The `lease` is a checkout.\n```go\nlent := borrow()\n```\nCall it and answer. Lease ends it."))
	require.Equal(t, []string{
		`x.md:1: "lent"; write acquire, checkout, return`,
		`x.md:4: "borrower"; write caller`,
		`x.md:4: "the answer"; write reply`,
	}, droppedInDocument("x.md", "It is lent.\n```\n```\nA borrower waits for the answer."))

	got, err := droppedInExports("x.go", []byte(`// Package p lends.
package p

// T is a loan.
type T struct {
	// A is a lease.
	A int
	// b is a lease.
	b int
}

// F borrows.
func (T) F() { /* lent */ }

// f borrows.
func (T) f() {}

// t borrows.
type t int

// F borrows.
func (t) F() {}

// C is a response.
const C = 1
`))
	require.NoError(t, err)
	require.Equal(t, []string{
		`x.go:1:1: "lends"; write acquire, checkout, return`, `x.go:6:2: "lease"; write checkout`,
		`x.go:4:1: "loan"; write acquire, checkout, return`, `x.go:12:1: "borrows"; write acquire, check out`, `x.go:24:1: "response"; write reply`,
	}, got)
}
