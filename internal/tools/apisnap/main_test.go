package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapOf is the snapshot of a package of one file.
func snapOf(t *testing.T, src string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := snap(&out, dir, ".")
	return out.String(), err
}

func TestSnapRefusesAnExportWithoutComment(t *testing.T) {
	for _, decl := range []string{"type T int", "func F() {}", "const C = 1", "var V int", "// T is.\ntype T int\nfunc (T) M() {}"} {
		if _, err := snapOf(t, "package p\n\n"+decl+"\n"); err == nil || !strings.Contains(err.Error(), "no doc comment") {
			t.Errorf("%q: %v", decl, err)
		}
	}
}

func TestSnapRecordsOnlyTheExportedAPI(t *testing.T) {
	got, err := snapOf(t, `package p

// Doc is a comment.
type T struct {
	A int // trailing
	b int
}

// M does.
func (t *T) M(x int) error { return nil }

func hidden() {}

const C = 1 // C is a comment.
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"package p", "A int", "func (t *T) M(x int) error", "const C = 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing from:\n%s", want, got)
		}
	}
	for _, not := range []string{"comment", "trailing", "b int", "hidden", "return nil"} {
		if strings.Contains(got, not) {
			t.Errorf("%q must not be in:\n%s", not, got)
		}
	}
}
