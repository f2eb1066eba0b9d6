package arch_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// link finds the target of a link to a file of this repository, and the heading
// behind its #.
var link = regexp.MustCompile(`\]\(([^)#: ]*)(#[^) ]*)?\)`)

var heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	links := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		links += len(link.FindAllString(string(text), -1))
		require.Empty(t, deadLinks(path, string(text)), path)
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, links)
}

func TestDeadLinksAreSeen(t *testing.T) {
	text := "# A House\n[a](docs_test.go) [b](none.go) [c](#a-house) [d](#a-tent) [e](https://example.com)"
	require.Equal(t, []string{"none.go", "#a-tent"}, deadLinks("links_test.go", text))
}

// deadLinks are the links in the text of the document at path that lead to no
// file, or to no heading.
func deadLinks(path, text string) (dead []string) {
	for _, match := range link.FindAllStringSubmatch(text, -1) {
		file, anchor := match[1], strings.TrimPrefix(match[2], "#")
		target := text
		if file != "" {
			at := filepath.Join(filepath.Dir(path), file)
			if _, err := os.Stat(at); err != nil {
				dead = append(dead, file)
				continue
			}
			read, _ := os.ReadFile(at) // a folder has no headings
			target = string(read)
		}
		if anchor != "" && !hasHeading(target, anchor) {
			dead = append(dead, file+"#"+anchor)
		}
	}
	return dead
}

// hasHeading reports whether a heading of the text has the anchor that hosts of
// Markdown give it: in lower case, with hyphens for spaces, without punctuation.
func hasHeading(text, anchor string) bool {
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`',.()&:/?", r):
				return -1
			}
			return r
		}, strings.ToLower(strings.TrimSpace(match[1])))
		if slug == anchor {
			return true
		}
	}
	return false
}

// TestExamplesAreLinkedAndTested holds for every folder of examples with a
// program in it, or above the programs.
func TestExamplesAreLinkedAndTested(t *testing.T) {
	folder := filepath.Join(root, "examples")
	examples, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			require.Contains(t, string(examples), "]("+e.Name()+")", "examples/README.md has no line for %s", e.Name())
		}
	}
	programs := 0
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		sources, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err != nil || len(sources) == 0 {
			return err
		}
		programs++
		if tutorial := filepath.Join(folder, "tutorial"); strings.HasPrefix(path, tutorial+string(filepath.Separator)) {
			return nil // the tutorial's test runs them, and docs/tutorial.md says what they show
		}
		if len(sources) == 1 && filepath.Base(sources[0]) == "doc.go" {
			return nil // a module without code
		}
		tests, err := filepath.Glob(filepath.Join(path, "*_test.go"))
		require.NotEmpty(t, tests, "%s has a test", path)
		intro := introduction(t, path)
		require.Regexp(t, `Look\sat\s`, intro, "the first comment of %s says what to look at", path)
		require.Regexp(t, `(?m)^\t(go|cd|systemd-socket-activate) `, intro, "the first comment of %s has its command", path)
		return err
	})
	require.NoError(t, err)
	require.Greater(t, programs, 10, "the walk must have found the programs")
}

// introduction is the comment of the package in folder.
func introduction(t *testing.T, folder string) string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err)
		if file.Doc != nil && !strings.HasSuffix(source, "_test.go") {
			return file.Doc.Text()
		}
	}
	return ""
}

// TestTheIndexHasEachPage holds docs/README.md against the pages.
func TestTheIndexHasEachPage(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	require.NoError(t, err)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 5)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			require.Contains(t, string(index), "]("+name, "docs/README.md has no line for %s", name)
		}
	}
}
