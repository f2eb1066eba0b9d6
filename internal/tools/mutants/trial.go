package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
)

// trial runs the tests of a package against its mutants.
type trial struct {
	p        *pkg
	tmp      string
	number   map[string]int    // of a mutant in the schema, by its key
	binaries map[string]string // with the schema, by the folder of the tests
	// exact are tests that fail in the schema although nothing is mutated: those
	// that count allocations. They run in a compile of the one mutant.
	exact   map[string]bool
	mu      sync.Mutex // guards: killers
	killers map[string][]string
}

// newTrial compiles the package with all its mutants, and runs each test once
// with none of them.
func newTrial(ctx context.Context, p *pkg, tmp string) (*trial, error) {
	files, in, err := p.makeSchema()
	if err != nil {
		return nil, err
	}
	t := &trial{p: p, tmp: tmp, number: map[string]int{}, binaries: map[string]string{}, exact: map[string]bool{}, killers: map[string][]string{}}
	for i, m := range p.mutants {
		if in[i] {
			t.number[m.key()] = i + 1
		}
	}
	overlay, err := p.overlay(tmp, files)
	if err != nil {
		return nil, err
	}
	for _, dir := range t.dirs(p.tests) {
		binary, out, err := p.compile(ctx, tmp, overlay, dir)
		if err != nil {
			return nil, fmt.Errorf("the schema with the tests of %s: %w\n%s", dir, err, out)
		}
		t.binaries[dir] = binary
	}
	for _, c := range p.tests {
		r := t.run(ctx, t.binaries[c.Dir], 0, []testCover{c}, 2)
		if r.failed {
			t.exact[c.Dir+" "+c.Name] = true
			fmt.Fprintf(os.Stderr, "mutants: %s %s fails beside the mutants; it costs a compile for each that nothing else notices\n", c.Dir, c.Name)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return t, nil
}

// dirs are the folders of the tests, in their order.
func (t *trial) dirs(tests []testCover) (dirs []string) {
	for _, c := range tests {
		if !slices.Contains(dirs, c.Dir) {
			dirs = append(dirs, c.Dir)
		}
	}
	return dirs
}

// try runs the tests that cover m until one fails.
func (t *trial) try(ctx context.Context, m mutant) (result, error) {
	var quick, exact []testCover
	number, inSchema := t.number[m.key()]
	for _, c := range t.p.tests {
		switch {
		case !c.covers(m):
		case !inSchema || t.exact[c.Dir+" "+c.Name]:
			exact = append(exact, c)
		default:
			quick = append(quick, c)
		}
	}
	switch {
	case !inSchema && !t.p.compiles(m):
		return result{Outcome: invalid}, nil
	case len(quick)+len(exact) == 0:
		return result{Outcome: survived, Detail: "no test comes here"}, nil
	}
	for _, dir := range t.dirs(quick) {
		if r := t.killedBy(ctx, m, t.binaries[dir], number, of(dir, quick)); r.Outcome == killed || ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	if r, err := t.tryExact(ctx, m, exact); err != nil || r.Outcome != survived {
		return r, err
	}
	return result{Outcome: survived, Detail: fmt.Sprintf("%d tests pass", len(quick)+len(exact))}, nil
}

func of(dir string, tests []testCover) (some []testCover) {
	for _, c := range tests {
		if c.Dir == dir {
			some = append(some, c)
		}
	}
	return some
}

// tryExact runs tests in a compile of m alone.
func (t *trial) tryExact(ctx context.Context, m mutant, tests []testCover) (result, error) {
	if len(tests) == 0 {
		return result{Outcome: survived}, nil
	}
	tmp, err := os.MkdirTemp(t.tmp, "one")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(tmp)
	src := t.p.sources[m.file]
	overlay, err := t.p.overlay(tmp, map[string]string{m.file: string(src[:m.start]) + m.text + string(src[m.end:])})
	if err != nil {
		return result{}, err
	}
	for _, dir := range t.dirs(tests) {
		binary, out, err := t.p.compile(ctx, tmp, overlay, dir)
		if err != nil {
			return result{Outcome: invalid, Detail: lastLines(out, 1)}, ctx.Err()
		}
		if r := t.killedBy(ctx, m, binary, 0, of(dir, tests)); r.Outcome == killed || ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	return result{Outcome: survived}, nil
}

// batch is how many tests one run of the binary takes at most.
const batch = 12

// killedBy runs the tests in batches, first those that killed others of the
// function, then the quickest. A kill counts if it comes again: tests fail for the machine's load too.
func (t *trial) killedBy(ctx context.Context, m mutant, binary string, number int, tests []testCover) result {
	tests = t.inOrder(m, tests)
	for size := batch; len(tests) > 0 && ctx.Err() == nil; {
		these := tests[:min(size, len(tests))]
		r := t.run(ctx, binary, number, these, 1)
		if !r.failed {
			tests = tests[len(these):]
			size = batch
			continue
		}
		i := slices.IndexFunc(these, func(c testCover) bool { return c.Name == r.killer })
		if i < 0 && len(these) > 1 { // its output does not say which
			size = 1
			continue
		}
		i = max(i, 0)
		if t.again(ctx, binary, number, these[i], r) {
			t.remember(m, these[i])
			return result{Outcome: killed, Detail: these[i].Name + r.why()}
		}
		tests = slices.Delete(tests, i, i+1) // it does not tell; the others may
	}
	return result{Outcome: survived}
}

func (t *trial) inOrder(m mutant, tests []testCover) []testCover {
	t.mu.Lock()
	known := slices.Clone(t.killers[m.function])
	t.mu.Unlock()
	tests = slices.Clone(tests)
	slices.SortStableFunc(tests, func(a, b testCover) int {
		return cmp.Or(cmp.Compare(slices.Index(known, b.Name), slices.Index(known, a.Name)), cmp.Compare(a.Took, b.Took))
	})
	return tests
}

func (t *trial) remember(m mutant, c testCover) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.killers[m.function], c.Name) {
		t.killers[m.function] = append(t.killers[m.function], c.Name)
	}
}

// again says whether the mutant fails the test for certain: at once a second time,
// or once in three more where the original passes three times. For a test that ran
// out of time the original must have passed in that time, and the mutant gets twice
// as much.
func (t *trial) again(ctx context.Context, binary string, number int, c testCover, first ran) bool {
	one := []testCover{c}
	original := t.binaries[c.Dir]
	if first.timedOut {
		return !t.run(ctx, original, 0, one, 1).failed && t.run(ctx, binary, number, one, 3).failed
	}
	if t.run(ctx, binary, number, one, 1).failed {
		return true
	}
	for range 3 {
		if t.run(ctx, original, 0, one, 1).failed {
			return false
		}
	}
	for range 3 {
		if t.run(ctx, binary, number, one, 1).failed {
			return true
		}
	}
	return false
}
