// Mutants changes the code of a package in small ways, one at a time, and runs
// the tests that cover the changed place. A change that no test notices is a
// survivor: a test is missing, or the change means the same and belongs in
// equivalent.txt with its reason.
//
// Usage: mutants [-n 50 -seed 1] [-results FILE] PACKAGE-DIR...
//
// One compile makes nearly all mutants of a package: each stands beside the original
// behind a switch, which the environment sets for a run of the tests. What cannot be
// written so, a constant above all, is compiled by itself; and so are all for the
// tests that fail beside the mutants, since they count allocations. The tree is never
// touched: go test -overlay shows the compiler the changed files.
//
// A failure counts if it comes again, and running out of time if the original does
// not. Results are written one by one, so a run that was stopped goes on where it
// was. A killed mutant stays killed as long as its function is the same, a survivor
// as long as its package and the tests are. Remove the file of results to try all.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed equivalent.txt
var equivalentText string

// options are the flags of a run.
type options struct {
	root     string
	results  string
	n        int
	seed     uint64
	parallel int
	only     *regexp.Regexp
	with     []string // further packages whose tests are run
	list     bool
}

func main() {
	var o options
	var only, with string
	flag.StringVar(&o.root, "root", ".", "directory of the module")
	flag.StringVar(&o.results, "results", "bin/mutants.jsonl", "file of results, relative to the root")
	flag.IntVar(&o.n, "n", 0, "mutants per package, drawn at random; zero means all")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the draw")
	flag.IntVar(&o.parallel, "parallel", 2, "mutants tried at once")
	flag.StringVar(&only, "only", "", "regular expression that the mutant's name must match")
	flag.StringVar(&with, "with", "", "further package directories, with commas, whose tests are run too")
	flag.BoolVar(&o.list, "list", false, "print the mutants and try none")
	flag.Parse()
	o.only = regexp.MustCompile(only)
	if with != "" {
		o.with = strings.Split(with, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	survivors, err := run(ctx, os.Stdout, o, flag.Args())
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	case survivors > 0:
		os.Exit(1)
	}
}

// run tries the mutants of each package and returns how many survived.
func run(ctx context.Context, w io.Writer, o options, dirs []string) (survivors int, err error) {
	known, err := parseEquivalents(equivalentText)
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		t, err := tryPackage(ctx, w, o, dir, known)
		if err != nil {
			return survivors, fmt.Errorf("%s: %w", dir, err)
		}
		survivors += t.survived
	}
	return survivors, nil
}

// tally counts the mutants of one package by what became of them.
type tally struct{ killed, survived, invalid, equivalent int }

func tryPackage(ctx context.Context, w io.Writer, o options, dir string, known map[string]string) (t tally, err error) {
	p, err := load(o.root, dir)
	if err != nil {
		return t, err
	}
	for key := range known {
		if strings.HasPrefix(key, dir+" ") && !slices.ContainsFunc(p.mutants, func(m mutant) bool { return m.key() == key }) {
			fmt.Fprintf(w, "%s: listed as equivalent, but no such mutant is left\n", key)
		}
	}
	chosen := choose(p, o, known, &t)
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(w, "%s:%d: %s\n", m.file, m.line, m.key())
		}
		return t, nil
	}
	store, err := openResults(o, p)
	if err != nil {
		return t, err
	}
	defer store.close()
	start := time.Now()
	err = p.tryAll(ctx, o, chosen, store, func(m mutant, r result) {
		switch r.Outcome {
		case killed:
			t.killed++
		case invalid:
			t.invalid++
		case survived:
			t.survived++
			fmt.Fprintf(w, "survived  %s:%d: %s (%s)\n", m.file, m.line, m.key(), r.Detail)
		}
	})
	fmt.Fprintf(w, "%s: %d killed, %d survived, %d equivalent, %d do not compile, of %d mutants (%v)\n",
		dir, t.killed, t.survived, t.equivalent, t.invalid, len(p.mutants), time.Since(start).Round(time.Second))
	return t, err
}

// choose draws the mutants to try, and counts those listed as equivalent.
func choose(p *pkg, o options, known map[string]string, t *tally) (chosen []mutant) {
	for _, m := range p.mutants {
		switch {
		case known[m.key()] != "":
			t.equivalent++
		case o.only.MatchString(m.key()) || o.only.MatchString(m.file):
			chosen = append(chosen, m)
		}
	}
	if o.n > 0 && o.n < len(chosen) {
		random := rand.New(rand.NewPCG(o.seed, o.seed))
		random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:o.n]
	}
	return chosen
}

// parseEquivalents reads the list: a line with a mutant's name, and below it
// indented lines with the reason.
func parseEquivalents(text string) (map[string]string, error) {
	known := map[string]string{}
	key := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, "\t"):
			if key != "" && known[key] == "" {
				return nil, fmt.Errorf("equivalent.txt: %q has no reason", key)
			}
			key = line
		case key == "":
			return nil, fmt.Errorf("equivalent.txt: a reason without a mutant: %q", line)
		default:
			known[key] = strings.TrimSpace(known[key] + " " + strings.TrimSpace(line))
		}
	}
	if key != "" && known[key] == "" {
		return nil, fmt.Errorf("equivalent.txt: %q has no reason", key)
	}
	return known, nil
}
