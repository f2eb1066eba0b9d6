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

// write makes a module with package p, and returns its folder.
func write(t *testing.T, code, tests string) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.25\n", "bin/.ignored": "",
		"p/p.go": "package p\n\n" + code, "p/p_test.go": "package p\n\nimport \"testing\"\n\n" + tests,
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRun tries a module of a few mutants: one that its test sees, one that it
// does not, one that does not compile, and one that no test can end; the second run
// reads the results.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the compiler")
	}
	dir := write(t, `func Add(a, b int) int { return a + b }

func Text(a string) string { return a + "x" }

func Less(a, b int) bool { return a < b }

func Most() int {
	const most = 7
	return most
}

func Wait(c chan int) { c <- 5; <-c }
`, `func TestAdd(t *testing.T) {
	if Add(1, 2) != 3 || Text("") != "x" {
		t.Fatal()
	}
}

func TestLess(t *testing.T) {
	if !Less(1, 2) {
		t.Fatal()
	}
}

func TestMost(t *testing.T) {
	if Most() != 7 {
		t.Fatal()
	}
}

func TestWait(t *testing.T) {
	go func() { select {} }()
	c := make(chan int)
	go func() { c <- <-c }()
	Wait(c)
}
`)
	o := options{root: dir, results: "bin/mutants.jsonl", parallel: 2, only: regexp.MustCompile("")}
	for range 2 {
		var out bytes.Buffer
		survivors, err := run(t.Context(), &out, o, []string{"p"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"p Less: a < b => a <= b (1 tests pass)", "p Wait: in func Wait(c chan int) { c <- 5; <-c }: 5 => 6 (1 tests pass)",
			"p Wait: remove <-c (1 tests pass)",
			"p: 4 killed, 3 survived, 0 equivalent, 1 do not compile, of 8 mutants",
		} {
			if !strings.Contains(out.String(), want) {
				t.Fatalf("%d survivors, not %q\n%s", survivors, want, &out)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, o.results))
	if err != nil || !strings.Contains(string(text), "TestWait (out of time)") {
		t.Fatalf("%v\n%s", err, text)
	}
}

// A test that fails now and then, whatever the code, kills nothing.
func TestFailureThatDoesNotComeAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the compiler")
	}
	dir := write(t, "func Less(a, b int) bool { return a < b }\n", `import "os"

func TestLess(t *testing.T) {
	Less(1, 2)
	if os.Getenv("GTCP_MUTANT") != "" && os.Getenv("GTCP_MUTANT") != "0" && os.Mkdir("failed"+os.Getenv("GTCP_MUTANT"), 0o700) == nil {
		t.Fatal("once")
	}
}
`)
	var out bytes.Buffer
	survivors, err := run(t.Context(), &out, options{root: dir, results: "bin/mutants.jsonl", only: regexp.MustCompile("")}, []string{"p"})
	if err != nil || survivors != 2 {
		t.Fatalf("%d %v\n%s", survivors, err, &out)
	}
}

// Every kind of change does in the schema what it does by itself.
func TestSchemaHoldsEveryKind(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the compiler")
	}
	dir := write(t, `import (
	"errors"
	"time"
)

type size uint16

func all[T any](list []T, on bool, fail func() error) (n int, err error) {
	for i := 0; i < len(list); i++ {
		n += 2
	}
	if d := time.Duration(n) * time.Second; d > 3*time.Second && on || !on && d == 0 {
		n++
	}
	var s size = 1
	s <<= 2
	switch {
	case n&1 == 1 && s+4 > 8:
		defer func() { n-- }()
	case on:
		panic("odd")
	}
	if on == true {
		return n, fail()
	}
	return n, errors.New("off")
}
`, `func TestAll(t *testing.T) {
	all([]int{1, 2}, false, func() error { return nil })
}
`)
	p, err := load(dir, "p")
	if err != nil {
		t.Fatal(err)
	}
	_, in, err := p.makeSchema()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[kind]int{}
	for i, m := range p.mutants {
		if in[i] {
			kinds[m.kind]++
		} else if p.compiles(m) {
			t.Errorf("%s is not in the schema", m.key())
		}
	}
	for k := boolean; k <= returned; k++ {
		if kinds[k] == 0 {
			t.Errorf("no mutant of kind %d in %v", k, kinds)
		}
	}
}
