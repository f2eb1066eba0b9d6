package arch_test

import (
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
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(root, "examples"))
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, strings.Contains(string(readme), "](examples/"+e.Name()), "README.md does not link examples/%s", e.Name())
	}
	programs := 0
	err = filepath.WalkDir(filepath.Join(root, "examples"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		sources, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err != nil || len(sources) == 0 {
			return err
		}
		programs++
		tests, err := filepath.Glob(filepath.Join(path, "*_test.go"))
		require.NotEmpty(t, tests, "%s has a test", path)
		return err
	})
	require.NoError(t, err)
	require.Greater(t, programs, len(entries)-1)
}
