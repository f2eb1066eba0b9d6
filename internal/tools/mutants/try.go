package main

import (
	"context"
	"errors"
	"go/build"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// pkg is the package under test.
type pkg struct {
	root, dir, path string
	sources         map[string][]byte
	mutants         []mutant
	hash            string // of the package's files, tests not included
	tests           []testCover
	goVersion       string
	fset            *token.FileSet
	importer        types.Importer
}

// load reads the package in root/dir and makes its mutants.
func load(root, dir string) (*pkg, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	list := exec.Command("go", "list", "./"+dir)
	list.Dir = root
	path, err := list.Output()
	if err != nil {
		return nil, err
	}
	bp, err := build.ImportDir(filepath.Join(root, dir), 0)
	if err != nil {
		return nil, err
	}
	p := &pkg{root: root, dir: dir, path: strings.TrimSpace(string(path)), sources: map[string][]byte{}}
	seen := map[string]int{}
	for _, name := range bp.GoFiles {
		src, err := os.ReadFile(filepath.Join(bp.Dir, name))
		if err != nil {
			return nil, err
		}
		p.sources[name] = src
		mutants, err := generate(dir, name, src, seen)
		if err != nil {
			return nil, err
		}
		p.mutants = append(p.mutants, mutants...)
	}
	if p.hash, err = hashFiles(bp.Dir); err != nil {
		return nil, err
	}
	return p, p.resolve()
}

// tryAll tries the chosen mutants, o.parallel at once, and tells each result.
func (p *pkg) tryAll(ctx context.Context, o options, chosen []mutant, store *results, tell func(mutant, result)) error {
	var todo []mutant
	for _, m := range chosen {
		if r, ok := store.get(m); ok {
			tell(m, r)
		} else {
			todo = append(todo, m)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if p.tests, err = store.coverage(ctx, o, p); err != nil {
		return err
	}
	t, err := newTrial(ctx, p, tmp)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards: calls of tell, failed
	var failed error
	var wg sync.WaitGroup
	work := make(chan mutant)
	for range max(1, o.parallel) {
		wg.Go(func() {
			for m := range work {
				r, err := t.try(ctx, m)
				if err == nil {
					err = store.put(m, r)
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else {
					tell(m, r)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range todo {
		if ctx.Err() != nil {
			break
		}
		work <- m
	}
	close(work)
	wg.Wait()
	return errors.Join(failed, ctx.Err())
}
