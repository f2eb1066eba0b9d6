package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A schema is the package with all of its mutants in it, each beside the original
// behind a look at one variable. So one compile makes every mutant, and the
// environment says which of them a run of the tests is about.

// switchVar is what the environment calls the mutant; none of them runs without.
const switchVar = "GTCP_MUTANT"

// schemaFile is the file that the schema adds to the package.
const schemaFile = "zz_mutants.go"

const schemaHead = `package %s

import (
	mutantEnv "os"
	mutantNumber "strconv"
%s)

var mutantOn = func() int { n, _ := mutantNumber.Atoi(mutantEnv.Getenv(%q)); return n }()

func mutantValue[T any](id int, is, was T) T {
	if mutantOn == id {
		return is
	}
	return was
}

%s`

// schema is what a package looks like with those of its mutants that one compile
// can hold.
type schema struct {
	p       *pkg
	typed   *typed
	left    map[int]bool     // mutants, by their place in p.mutants, that do not fit in
	aliases map[string]alias // names for the types of the package's expressions
}

type alias struct{ name, path string }

// makeSchema returns the files of p's schema by name, and which mutants are in it.
// What the type checker refuses is taken out until it refuses nothing.
func (p *pkg) makeSchema() (files map[string]string, in map[int]bool, err error) {
	t, err := p.check()
	if err != nil {
		return nil, nil, err
	}
	s := &schema{p: p, typed: t, left: map[int]bool{}}
	for {
		files, places := s.render()
		bad, err := s.refused(files, places)
		if err != nil {
			return nil, nil, err
		}
		if len(bad) == 0 {
			in = map[int]bool{}
			for i := range p.mutants {
				in[i] = !s.left[i]
			}
			return files, in, nil
		}
		maps.Copy(s.left, bad)
	}
}

// place is the text of one mutant in a file of the schema, its original included.
type place struct{ mutant, from, to int }

// render writes the files, and where in them each mutant is.
func (s *schema) render() (files map[string]string, places map[string][]place) {
	files, places = map[string]string{}, map[string][]place{}
	s.aliases = map[string]alias{}
	for name, src := range s.p.sources {
		var all []int
		for i, m := range s.p.mutants {
			if m.file == name && !s.left[i] {
				all = append(all, i)
			}
		}
		// The outer before the inner; of equal ones what was recorded last is outside,
		// since a statement's removal stands around its change.
		slices.SortStableFunc(all, func(i, j int) int {
			a, b := s.p.mutants[i], s.p.mutants[j]
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(b.kind, a.kind))
		})
		r := &renderer{s: s, src: string(src), all: all}
		r.until(len(src))
		files[name], places[name] = r.out.String(), r.places
	}
	files[schemaFile] = s.head()
	return files, places
}

func (s *schema) head() string {
	var imports, names strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.aliases)) {
		a := s.aliases[key]
		qualified := key
		if a.path != "" {
			fmt.Fprintf(&imports, "\t%sFrom %q\n", a.name, a.path)
			qualified = a.name + "From." + key[strings.LastIndexByte(key, '.')+1:]
		}
		fmt.Fprintf(&names, "type %s = %s\n", a.name, qualified)
	}
	return fmt.Sprintf(schemaHead, s.typed.pkg.Name(), &imports, switchVar, &names)
}

// typeName is a name for t that any file of the package may use, or empty.
func (s *schema) typeName(t types.Type) string {
	switch t := types.Unalias(types.Default(t)).(type) {
	case *types.Basic:
		return t.Name()
	case *types.TypeParam:
		return t.Obj().Name()
	case *types.Named:
		o := t.Obj()
		if t.TypeArgs().Len() > 0 || o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
			return ""
		}
		if o.Pkg() == s.typed.pkg {
			return o.Name()
		}
		key := o.Pkg().Path() + "." + o.Name()
		a, ok := s.aliases[key]
		if !ok {
			a = alias{fmt.Sprintf("mutantT%d", len(s.aliases)), o.Pkg().Path()}
			s.aliases[key] = a
		}
		return a.name
	}
	return ""
}

// renderer writes one file of the schema.
type renderer struct {
	s      *schema
	src    string
	all    []int // the mutants still to write, outer before inner
	at     int   // how much of src is written
	out    strings.Builder
	places []place
}

// until writes src up to end, with the mutants in it.
func (r *renderer) until(end int) {
	for len(r.all) > 0 && r.s.p.mutants[r.all[0]].start < end {
		i := r.all[0]
		r.all = r.all[1:]
		m := r.s.p.mutants[i]
		open, shut := r.s.around(m, i+1)
		if open == "" {
			r.s.left[i] = true
			continue
		}
		r.out.WriteString(r.src[r.at:m.start])
		r.at = m.start
		from := r.out.Len()
		r.out.WriteString(open)
		r.until(m.end)
		r.out.WriteString(shut)
		r.places = append(r.places, place{i, from, r.out.Len()})
	}
	r.out.WriteString(r.src[r.at:end])
	r.at = end
}

// around is what stands before and after the original of a mutant; nothing, if
// the type of the expression has no name.
func (s *schema) around(m mutant, id int) (open, shut string) {
	switch m.kind {
	case boolean:
		return fmt.Sprintf("(mutantOn == %d && (%s) || mutantOn != %d && (", id, m.alt, id), "))"
	case valued:
		name := s.typeName(s.typed.typeAt(m))
		if name == "" {
			return "", ""
		}
		if _, literal := s.typed.literals[span{m.file, m.start, m.end}]; literal {
			return fmt.Sprintf("mutantValue[%s](%d, %s, ", name, id, m.alt), ")"
		}
		return fmt.Sprintf("func() %s { if mutantOn == %d { return %s }; return ", name, id, m.alt), " }()"
	case statement:
		return fmt.Sprintf("if mutantOn == %d { %s } else { ", id, m.alt), " }"
	case clause:
		return fmt.Sprintf("func() { if mutantOn == %d { %s } else { ", id, m.alt), " } }()"
	case removed:
		return fmt.Sprintf("if mutantOn != %d { ", id), " }"
	default: // returned
		return fmt.Sprintf("if mutantOn == %d { %s }; ", id, m.alt), ""
	}
}

// refused type checks the files and returns the mutants that the errors are about.
func (s *schema) refused(files map[string]string, places map[string][]place) (map[int]bool, error) {
	found, err := checkFiles(s.p, files)
	if err != nil {
		return nil, err
	}
	bad := map[int]bool{}
	for _, e := range found {
		at := e.fset.Position(e.at)
		name := filepath.Base(at.Filename)
		if i, ok := innermost(places[name], at.Offset); ok {
			bad[i] = true
		}
	}
	if len(bad) > 0 || len(found) == 0 {
		return bad, nil
	}
	// Errors outside of every mutant: the constant that one in the line was part
	// of, or the return that a function misses without its panic.
	for _, e := range found {
		at := e.fset.Position(e.at)
		text := files[filepath.Base(at.Filename)]
		lineFrom := strings.LastIndexByte(text[:at.Offset], '\n')
		lineTo := at.Offset + strings.IndexByte(text[at.Offset:]+"\n", '\n')
		function := strings.LastIndex(text[:at.Offset], "\nfunc ")
		for _, pl := range places[filepath.Base(at.Filename)] {
			m := s.p.mutants[pl.mutant]
			inLine := pl.from > lineFrom && pl.from < lineTo
			panics := m.kind == removed && strings.HasPrefix(m.what, "remove panic(") && pl.from > function && pl.from < at.Offset
			if inLine || panics {
				bad[pl.mutant] = true
			}
		}
	}
	if len(bad) == 0 {
		return nil, fmt.Errorf("the schema does not compile: %s: %w", found[0].fset.Position(found[0].at), found[0].err)
	}
	return bad, nil
}

func innermost(places []place, at int) (mutant int, ok bool) {
	best := place{to: 1 << 60}
	for _, pl := range places {
		if pl.from <= at && at < pl.to && pl.to-pl.from < best.to-best.from {
			best, ok = pl, true
		}
	}
	return best.mutant, ok
}

// typeError is what the type checker says of a place.
type typeError struct {
	fset *token.FileSet
	at   token.Pos
	err  error
}

// checkFiles returns what the type checker has against the package with these
// files in it.
func checkFiles(p *pkg, files map[string]string) (found []typeError, err error) {
	fset := p.fset
	var parsed []*ast.File
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := parseText(fset, name, files[name])
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, f)
	}
	conf := types.Config{Importer: p.importer, GoVersion: p.goVersion, Error: func(err error) {
		var e types.Error
		if errors.As(err, &e) {
			found = append(found, typeError{fset, e.Pos, err})
		}
	}}
	_, _ = conf.Check(p.path, fset, parsed, nil)
	return found, nil
}
