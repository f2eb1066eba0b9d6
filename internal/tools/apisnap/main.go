// Apisnap prints the exported API of packages, one declaration after another
// and without comments, so that a change to the API shows in a diff. It fails on
// an export that has no comment.
//
// Usage: apisnap -root DIR PACKAGE-DIR...
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "directory that the package directories are relative to")
	flag.Parse()
	for _, dir := range flag.Args() {
		if err := snap(os.Stdout, *root, dir); err != nil {
			fmt.Fprintln(os.Stderr, "apisnap:", err)
			os.Exit(1)
		}
	}
}

// snap writes the API of the package in root/dir as linux/amd64 builds it:
// one platform, so that the record is the same wherever it is made.
func snap(w io.Writer, root, dir string) error {
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled = "linux", "amd64", false
	bp, err := ctx.ImportDir(filepath.Join(root, dir), 0)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range bp.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(bp.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "package %s // %s\n\n", pkg.Name, dir)
	p := snapshot{w: w, fset: fset}
	p.values(pkg.Consts)
	p.values(pkg.Vars)
	p.funcs(pkg.Funcs)
	for _, t := range pkg.Types {
		p.documented(t.Doc, t.Name)
		p.decl(t.Decl)
		p.values(t.Consts)
		p.values(t.Vars)
		p.funcs(t.Funcs)
		p.funcs(t.Methods)
	}
	return p.err
}

// layout is gofmt's.
var layout = printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}

// snapshot prints declarations and keeps the errors.
type snapshot struct {
	w    io.Writer
	fset *token.FileSet
	err  error
}

func (p *snapshot) values(vs []*doc.Value) {
	for _, v := range vs {
		for _, spec := range v.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			p.documented(v.Doc+spec.Doc.Text()+spec.Comment.Text(), spec.Names[0].Name)
		}
		p.decl(v.Decl)
	}
}

func (p *snapshot) funcs(fs []*doc.Func) {
	for _, f := range fs {
		p.documented(f.Doc, f.Recv+"."+f.Name)
		f.Decl.Body = nil
		p.decl(f.Decl)
	}
}

// documented keeps an error if an export has no comment.
func (p *snapshot) documented(text, name string) {
	if text == "" {
		p.err = errors.Join(p.err, fmt.Errorf("%s has no doc comment", name))
	}
}

func (p *snapshot) decl(d ast.Decl) {
	var buf bytes.Buffer
	stripComments(d)
	err := layout.Fprint(&buf, p.fset, d)
	if err == nil {
		_, err = fmt.Fprintf(p.w, "%s\n\n", squeeze(buf.Bytes()))
	}
	p.err = errors.Join(p.err, err)
}

// squeeze drops the blank lines that the removed comments leave behind.
func squeeze(b []byte) []byte {
	var out [][]byte
	for line := range bytes.Lines(b) {
		if len(bytes.TrimSpace(line)) > 0 {
			out = append(out, bytes.TrimRight(line, "\n"))
		}
	}
	return bytes.Join(out, []byte("\n"))
}

// stripComments removes the doc and line comments inside a declaration.
func stripComments(d ast.Decl) {
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			n.Doc = nil
		case *ast.FuncDecl:
			n.Doc = nil
		case *ast.Field:
			n.Doc, n.Comment = nil, nil
		case *ast.ValueSpec:
			n.Doc, n.Comment = nil, nil
		case *ast.TypeSpec:
			n.Doc, n.Comment = nil, nil
		}
		return true
	})
}
