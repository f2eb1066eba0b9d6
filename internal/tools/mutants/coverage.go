package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// block is a run of lines that one test executes.
type block struct {
	File     string
	From, To int
}

// testCover is what one test of a package executes of the mutated package, and
// how long it takes.
type testCover struct {
	Dir    string // the package the test belongs to
	Name   string
	Took   time.Duration
	Blocks []block
}

func (c testCover) covers(m mutant) bool {
	return slices.ContainsFunc(c.Blocks, func(b block) bool {
		return b.File == m.file && b.From <= m.counted && m.counted <= b.To
	})
}

// measure runs each test of the package in dir alone, with the statements of p
// counted. A test that fails alone is left out: it would kill every mutant.
func (p *pkg) measure(ctx context.Context, dir string) (tests []testCover, err error) {
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "cover.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-cover", "-coverpkg="+p.path, "-o", binary, "./"+dir)
	build.Dir = p.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	list := exec.CommandContext(ctx, binary, "-test.list", ".")
	list.Dir = filepath.Join(p.root, dir)
	names, err := list.Output()
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsSeq(string(names)) {
		if strings.HasPrefix(name, "Benchmark") {
			continue
		}
		profile := filepath.Join(tmp, "profile")
		cmd := exec.CommandContext(ctx, binary, "-test.run", "^"+name+"$", "-test.coverprofile", profile, "-test.timeout", "2m")
		cmd.Dir = filepath.Join(p.root, dir)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "mutants: %s %s fails alone and is left out:\n%s\n", dir, name, lastLines(out, 5))
			continue
		}
		c := testCover{Dir: dir, Name: name, Took: time.Since(start)}
		if c.Blocks, err = readProfile(profile); err != nil {
			return nil, err
		}
		tests = append(tests, c)
	}
	slices.SortStableFunc(tests, func(a, b testCover) int { return cmp.Compare(a.Took, b.Took) })
	return tests, nil
}

// readProfile returns the executed blocks of a coverage profile.
func readProfile(name string) (blocks []block, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		// path/file.go:12.34,15.2 3 1
		place, counts, ok := strings.Cut(lines.Text(), " ")
		colon := strings.LastIndexByte(place, ':')
		if !ok || colon < 0 || strings.HasSuffix(counts, " 0") {
			continue
		}
		from, to, _ := strings.Cut(place[colon+1:], ",")
		blocks = append(blocks, block{filepath.Base(place[:colon]), lineNumber(from), lineNumber(to)})
	}
	return blocks, nil
}

// lineNumber is the first half of line.column; zero for the header of a profile.
func lineNumber(s string) int {
	line, _, _ := strings.Cut(s, ".")
	n, _ := strconv.Atoi(line)
	return n
}

func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
