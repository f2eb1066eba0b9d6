package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
)

// span is a piece of a file's text.
type span struct {
	file     string
	from, to int
}

// typed is what the type checker knows of a package's expressions.
type typed struct {
	pkg      *types.Package
	values   map[span]types.Type
	literals map[span]bool
}

func (t *typed) typeAt(m mutant) types.Type {
	if found := t.values[span{m.file, m.start, m.end}]; found != nil {
		return found
	}
	return types.Typ[types.Invalid]
}

func parseText(fset *token.FileSet, name, text string) (*ast.File, error) {
	return parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
}

// check type checks the package as it is.
func (p *pkg) check() (*typed, error) {
	fset := p.fset
	var files []*ast.File
	for name, src := range p.sources {
		f, err := parseText(fset, name, string(src))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: p.importer, GoVersion: p.goVersion}
	checked, err := conf.Check(p.path, fset, files, info)
	if err != nil {
		return nil, err
	}
	t := &typed{checked, map[span]types.Type{}, map[span]bool{}}
	for e, of := range info.Types {
		from, to := fset.Position(e.Pos()), fset.Position(e.End())
		at := span{from.Filename, from.Offset, to.Offset}
		switch e.(type) {
		case *ast.BasicLit:
			t.values[at], t.literals[at] = of.Type, true
		case *ast.BinaryExpr:
			t.values[at] = of.Type
		}
	}
	return t, nil
}

// resolve finds the compiled packages that p imports, directly or not.
func (p *pkg) resolve() error {
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Module", "./"+p.dir, "os", "strconv")
	list.Dir = p.root
	out, err := list.Output()
	if err != nil {
		return err
	}
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var one struct {
			ImportPath, Export string
			Module             *struct{ GoVersion string }
		}
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		exports[one.ImportPath] = one.Export
		if one.ImportPath == p.path && one.Module != nil {
			p.goVersion = "go" + one.Module.GoVersion
		}
	}
	p.fset = token.NewFileSet()
	p.importer = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		name, ok := exports[path]
		if !ok { // the standard library has copies of other modules
			name, ok = exports["vendor/"+path]
		}
		if !ok {
			return nil, fmt.Errorf("no compiled %s", path)
		}
		return os.Open(name)
	})
	return nil
}

// compiles says whether the package with this one mutant type checks.
func (p *pkg) compiles(m mutant) bool {
	files := map[string]string{}
	for name, src := range p.sources {
		files[name] = string(src)
	}
	src := p.sources[m.file]
	files[m.file] = string(src[:m.start]) + m.text + string(src[m.end:])
	found, err := checkFiles(p, files)
	return err == nil && len(found) == 0 // an error: it does not even parse
}
