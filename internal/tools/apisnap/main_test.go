package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSnapRecordsOnlyTheExportedAPI(t *testing.T) {
	dir := t.TempDir()
	src := `package p

// Doc is a comment.
type T struct {
	A int // trailing
	b int
}

// M does.
func (t *T) M(x int) error { return nil }

func hidden() {}

const C = 1
`
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := snap(&out, dir, "."); err != nil {
		t.Fatal(err)
	}
	got := out.String()
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
