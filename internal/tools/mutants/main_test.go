package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sample = `package sample

func clamp(n, limit int) (int, error) {
	if n > limit && limit > 0 {
		n = limit
	}
	return n, check(n)
}
`

func names(mutants []mutant) (all []string) {
	for _, m := range mutants {
		all = append(all, m.key())
	}
	slices.Sort(all)
	return all
}

func TestGenerate(t *testing.T) {
	mutants, err := generate("p", "sample.go", []byte(sample), map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"p clamp: if n > limit && limit > 0 => if not",
		"p clamp: in if n > limit && limit > 0 {: 0 => 1",
		"p clamp: limit > 0 => limit <= 0",
		"p clamp: limit > 0 => limit >= 0",
		"p clamp: n > limit && limit > 0 => limit > 0",
		"p clamp: n > limit && limit > 0 => n > limit",
		"p clamp: n > limit => n <= limit",
		"p clamp: n > limit => n >= limit",
		"p clamp: remove n = limit",
		"p clamp: return n, check(n) => return n, nil",
	}
	if got := names(mutants); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The list of equivalent mutants must not lose its entries when lines move.
func TestKeysSurviveMovedLines(t *testing.T) {
	before, err := generate("p", "a.go", []byte(sample), map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(sample, "func clamp", "// A comment.\n\nfunc clamp", 1)
	after, err := generate("p", "b.go", []byte(moved), map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names(before), names(after)) {
		t.Fatalf("%q\n%q", names(before), names(after))
	}
}

func TestEqualChangesAreNumbered(t *testing.T) {
	src := "package p\nfunc f() { g(); g() }\nfunc g() {}\n"
	mutants, err := generate("p", "a.go", []byte(src), map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(mutants), []string{"p f: remove g()", "p f: remove g() #2"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// The expressions of a case run when the switch does, whatever case is taken.
func TestCaseIsCoveredByItsSwitch(t *testing.T) {
	src := "package p\nfunc f(a int) {\n\tswitch {\n\tcase a < 1:\n\t\tg()\n\t}\n}\n"
	mutants, err := generate("p", "a.go", []byte(src), map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if want := map[int]int{4: 3, 5: 5}[m.line]; m.counted != want {
			t.Errorf("%s: line %d is counted at %d, want %d", m.what, m.line, m.counted, want)
		}
	}
}

func TestParseEquivalents(t *testing.T) {
	known, err := parseEquivalents("# comment\nconn f: a => b\n\tno reader\n\ttells\n")
	if err != nil || known["conn f: a => b"] != "no reader tells" {
		t.Fatalf("%v %v", known, err)
	}
	for _, bad := range []string{"conn f: a => b\n", "\ta reason\n", "conn f: a\nconn g: b\n\treason\n"} {
		if _, err := parseEquivalents(bad); err == nil {
			t.Fatalf("%q passes", bad)
		}
	}
	if _, err := parseEquivalents(equivalentText); err != nil {
		t.Fatal(err)
	}
}

// TestRun tries a module of three mutants: one that its test sees, one that it
// does not, and one that does not compile; the second run reads the results.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the compiler")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":       "module example.com/m\n\ngo 1.25\n",
		"p/p.go":       "package p\n\nfunc Add(a, b int) int { return a + b }\n\nfunc Text(a string) string { return a + \"x\" }\n\nfunc Less(a, b int) bool { return a < b }\n",
		"p/p_test.go":  "package p\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 || Text(\"\") != \"x\" {\n\t\tt.Fatal()\n\t}\n}\n\nfunc TestLess(t *testing.T) {\n\tif !Less(1, 2) {\n\t\tt.Fatal()\n\t}\n}\n",
		"bin/.ignored": "",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := options{root: dir, results: "bin/mutants.jsonl", parallel: 2, only: regexp.MustCompile("")}
	for range 2 {
		var out bytes.Buffer
		survivors, err := run(t.Context(), &out, o, []string{"p"})
		if err != nil {
			t.Fatal(err)
		}
		if survivors != 1 || !strings.Contains(out.String(), "p Less: a < b => a <= b (1 tests pass)") ||
			!strings.Contains(out.String(), "p: 2 killed, 1 survived, 0 equivalent, 1 do not compile, of 4 mutants") {
			t.Fatalf("%d survivors\n%s", survivors, &out)
		}
	}
}
