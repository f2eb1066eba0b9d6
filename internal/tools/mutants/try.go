package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// pkg is the package under test.
type pkg struct {
	root, dir, path string
	sources         map[string][]byte
	mutants         []mutant
	hash            string // of all files of the package and its tests
	tests           []testCover
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
	p.hash, err = hashFiles(bp.Dir)
	return p, err
}

// tryAll tries the chosen mutants, o.parallel at once, and tells each result.
func (p *pkg) tryAll(ctx context.Context, o options, chosen []mutant, store *results, tell func(mutant, result)) error {
	var mu sync.Mutex // guards: calls of tell, failed
	var failed error
	var wg sync.WaitGroup
	work := make(chan mutant)
	for range max(1, o.parallel) {
		wg.Go(func() {
			for m := range work {
				r, ok := store.get(m.key())
				var err error
				if !ok {
					if r, err = p.try(ctx, m); err == nil {
						err = store.put(m.key(), r)
					}
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
	if len(chosen) > 0 {
		var err error
		if p.tests, err = store.coverage(ctx, o, p); err != nil {
			failed = err
			chosen = nil
		}
	}
	for _, m := range chosen {
		if ctx.Err() != nil {
			break
		}
		work <- m
	}
	close(work)
	wg.Wait()
	return errors.Join(failed, ctx.Err())
}

// try runs the tests that cover m, the fastest first, until one fails.
func (p *pkg) try(ctx context.Context, m mutant) (result, error) {
	groups := map[string][]testCover{}
	dirs := []string{}
	for _, t := range p.tests {
		if t.covers(m) {
			if groups[t.Dir] == nil {
				dirs = append(dirs, t.Dir)
			}
			groups[t.Dir] = append(groups[t.Dir], t)
		}
	}
	if len(dirs) == 0 {
		return result{Outcome: survived, Detail: "no test comes here"}, nil
	}
	tmp, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(tmp)
	overlay, err := p.overlay(tmp, m)
	if err != nil {
		return result{}, err
	}
	count := 0
	for _, dir := range dirs {
		count += len(groups[dir])
		r, err := p.tryWith(ctx, tmp, overlay, dir, groups[dir])
		if err != nil || r.Outcome != survived {
			return r, err
		}
	}
	return result{Outcome: survived, Detail: fmt.Sprintf("%d tests pass", count)}, nil
}

// overlay writes the mutated file and the map that puts it in the place of the
// true one.
func (p *pkg) overlay(tmp string, m mutant) (string, error) {
	src := p.sources[m.file]
	text := string(src[:m.start]) + m.text + string(src[m.end:])
	mutated, overlay := filepath.Join(tmp, m.file), filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(p.root, p.dir, m.file): mutated}})
	if err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, replace, 0o600)
}

// batch is how many tests one run of the binary takes at most: a mutant mostly
// dies in the first.
const batch = 12

func (p *pkg) tryWith(ctx context.Context, tmp, overlay, dir string, tests []testCover) (result, error) {
	binary := filepath.Join(tmp, "mutant.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./"+dir)
	build.Dir = p.root
	if out, err := build.CombinedOutput(); err != nil {
		return result{Outcome: invalid, Detail: lastLines(out, 1)}, ctx.Err()
	}
	for len(tests) > 0 {
		n := min(batch, len(tests))
		names := make([]string, n)
		limit := 20 * time.Second // the machine may be busy with other things
		for i, t := range tests[:n] {
			names[i] = t.Name
			limit += 5 * t.Took
		}
		tests = tests[n:]
		cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
		cmd.Dir = filepath.Join(p.root, dir)
		cmd.WaitDelay = time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return result{Outcome: killed, Detail: killer(out)}, ctx.Err()
		}
	}
	return result{Outcome: survived}, nil
}

// killer names the test that failed.
func killer(out []byte) string {
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			return name
		}
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return "failed"
}
