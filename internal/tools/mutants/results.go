package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// What became of a mutant.
const (
	killed   = "killed"
	survived = "survived"
	invalid  = "invalid" // it does not compile
)

type result struct {
	Outcome string
	Detail  string // the test that killed it, or why it survived
}

// record is one line of the results' file. A killed mutant stays killed while its
// function is the same, whatever tests are added; a survivor is tried again when
// the package or its tests have changed.
type record struct {
	Package, Function, Tests, Key string
	Result                        result
}

// results is the file of results, open for more.
type results struct {
	hash  string // of the package's code
	tests string // of the tests
	name  string
	mu    sync.Mutex // guards: file, known
	file  *os.File
	known map[string]record // by the mutant's key
}

func openResults(o options, p *pkg) (*results, error) {
	name := o.results
	if !filepath.IsAbs(name) {
		name = filepath.Join(p.root, name)
	}
	s := &results{hash: p.hash, name: name, known: map[string]record{}}
	for _, dir := range append([]string{p.dir}, o.with...) {
		hash, err := hashFiles(filepath.Join(p.root, dir), "_test.go")
		if err != nil {
			return nil, err
		}
		s.tests += hash[:12]
	}
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) == nil { // a line cut short by a kill is no result
			s.known[r.Key] = r
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	s.file, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return s, err
}

func (s *results) close() { _ = s.file.Close() }

func (s *results) get(m mutant) (result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.known[m.key()]
	same := r.Function == m.hash && (r.Result.Outcome != survived || r.Package == s.hash && r.Tests == s.tests)
	return r.Result, ok && same
}

func (s *results) put(m mutant, r result) error {
	one := record{s.hash, m.hash, s.tests, m.key(), r}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[m.key()] = one
	_, err = s.file.Write(append(line, '\n'))
	return err
}

// coverage returns which tests cover what, measured once for a state of the
// packages' files and kept beside the results.
func (s *results) coverage(ctx context.Context, o options, p *pkg) (all []testCover, err error) {
	for _, dir := range append([]string{p.dir}, o.with...) {
		hash, err := hashFiles(filepath.Join(p.root, dir), "_test.go")
		if err != nil {
			return nil, err
		}
		cache := fmt.Sprintf("%s.%s-%s-%s.cover", s.name, strings.ReplaceAll(p.dir, "/", "_"), p.hash[:12], hash[:12])
		var tests []testCover
		if text, err := os.ReadFile(cache); err == nil && json.Unmarshal(text, &tests) == nil {
			all = append(all, tests...)
			continue
		}
		if tests, err = p.measure(ctx, dir); err != nil {
			return nil, err
		}
		text, err := json.Marshal(tests)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(cache, text, 0o644); err != nil {
			return nil, err
		}
		all = append(all, tests...)
	}
	return all, nil
}

// hashFiles sums the Go files of a folder: its code, or with a suffix the files
// that end so.
func hashFiles(dir string, suffix ...string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != (len(suffix) > 0) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", filepath.Base(name), len(text))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
