package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// translations are the pages that exist in Chinese, and what the Chinese page is
// called. The two must say the same: whoever changes one changes the other.
// Where the words cannot be compared, what is the same in both languages can:
// headings (a comment before the Chinese one names the English one), code blocks but
// for their comments, and in each section the rows of tables, the pieces of code,
// the numbers and the links.
var translations = map[string]string{
	"README.md":      "README.zh-CN.md",
	"docs/compat.md": "docs/compat.zh-CN.md",
}

func TestTranslationsAreInStep(t *testing.T) {
	for page, chinese := range translations {
		a, err := os.ReadFile(filepath.Join(root, page))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(root, chinese))
		require.NoError(t, err)
		require.Empty(t, differences(string(a), string(b)), "%s and %s are not in step: change both", page, chinese)
	}
}

func TestTranslationsOutOfStepAreSeen(t *testing.T) {
	const english = "# A\nSee [b](c.md) and `d`.\n\n| x |\n|---|\n| 1 |\n\n```go\nf() // why\n```\n\n## E\n"
	const chinese = "<!-- A -->\n# 甲\n见 [乙](c.zh-CN.md) 和 `d`。\n\n| 丙 |\n|---|\n| 1 |\n\n```go\nf() // 为何\n```\n\n<!-- E -->\n## 戊\n"
	require.Empty(t, differences(english, chinese))
	for name, test := range map[string]struct{ old, new, want string }{
		"a heading too few":  {"<!-- E -->\n## 戊\n", "", `no section "## E"`},
		"a heading too many": {"## 戊\n", "## 戊\n<!-- F -->\n## 己\n", `no section "## F"`},
		"another level":      {"## 戊", "### 戊", `no section "## E"`},
		"a heading unnamed":  {"<!-- A -->\n", "", `no section "# A"`},
		"other code":         {"f() //", "g() //", "code blocks"},
		"a row too few":      {"| 1 |\n", "1\n", "rows of tables"},
		"another number":     {"| 1 |", "| 2 |", "numbers"},
		"another piece":      {"`d`", "`e`", "pieces of code"},
		"another link":       {"c.zh-CN.md", "d.md", "links"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, chinese, test.old)
			changed := strings.Replace(chinese, test.old, test.new, 1)
			require.Contains(t, strings.Join(differences(english, changed), "\n"), test.want)
		})
	}
}

// section is what stands below a heading, without the words.
type section struct {
	heading string
	code    []string
	rows    int
	pieces  []string
	numbers []string
	links   []string
}

var (
	fence       = regexp.MustCompile("^```")
	comment     = regexp.MustCompile(`^<!-- (.+) -->$`)
	piece       = regexp.MustCompile("`[^`]+`")
	number      = regexp.MustCompile(`\d[\d,.]*\d|\d`)
	anyLink     = regexp.MustCompile(`\]\(([^)]*)\)`)
	lineComment = regexp.MustCompile(`(//|#) .*$`)
)

// sections reads a page; in a translation a comment before each heading names the
// English one.
func sections(text string, translated bool) (all []section) {
	s := section{heading: "the beginning"}
	inCode, block, english := false, "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case fence.MatchString(line):
			if inCode = !inCode; !inCode {
				s.code = append(s.code, block)
			}
			block = line + "\n"
		case inCode:
			block += strings.TrimSpace(lineComment.ReplaceAllString(line, "")) + "\n"
		case strings.HasPrefix(line, "#"):
			all = append(all, s)
			s = section{heading: line}
			if level, _, _ := strings.Cut(line, " "); translated {
				s.heading, english = level+" "+english, ""
			}
		case comment.MatchString(line):
			english = comment.FindStringSubmatch(line)[1]
		default:
			s.read(line)
		}
	}
	return append(all, s)
}

// read notes what a line outside code has.
func (s *section) read(line string) {
	if strings.HasPrefix(line, "|") {
		s.rows++
	}
	s.pieces = append(s.pieces, piece.FindAllString(line, -1)...)
	for _, m := range anyLink.FindAllStringSubmatch(line, -1) {
		target := strings.Replace(m[1], ".zh-CN", "", 1)
		target, _, _ = strings.Cut(target, "#")
		s.links = append(s.links, target)
	}
	line = anyLink.ReplaceAllString(piece.ReplaceAllString(line, " "), " ")
	s.numbers = append(s.numbers, number.FindAllString(line, -1)...)
}

// differences says where a page and its translation are not in step.
func differences(page, translation string) (found []string) {
	a, b := sections(page, false), sections(translation, true)
	headings := func(all []section) (h []string) {
		for _, s := range all {
			h = append(h, s.heading)
		}
		return h
	}
	for _, h := range headings(a) {
		if !slices.Contains(headings(b), h) {
			found = append(found, fmt.Sprintf("the translation has no section %q", h))
		}
	}
	for _, h := range headings(b) {
		if !slices.Contains(headings(a), h) {
			found = append(found, fmt.Sprintf("the page has no section %q", h))
		}
	}
	if len(found) > 0 {
		return found
	}
	if !slices.Equal(headings(a), headings(b)) {
		return []string{"the sections are in another order"}
	}
	for i := range a {
		found = append(found, a[i].differences(b[i])...)
	}
	return found
}

func (s section) differences(other section) (found []string) {
	report := func(what string, a, b any) {
		found = append(found, fmt.Sprintf("%s: %s: %v and %v", s.heading, what, a, b))
	}
	if !slices.Equal(s.code, other.code) {
		report("code blocks", s.code, other.code)
	}
	if s.rows != other.rows {
		report("rows of tables", s.rows, other.rows)
	}
	for what, lists := range map[string][2][]string{
		"pieces of code": {s.pieces, other.pieces},
		"numbers":        {s.numbers, other.numbers},
		"links":          {s.links, other.links},
	} {
		a, b := set(lists[0]), set(lists[1])
		if !slices.Equal(a, b) {
			report(what, without(a, b), without(b, a))
		}
	}
	return found
}

// set sorts a list and drops what is in it twice.
func set(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// without is what is in a and not in b.
func without(a, b []string) (rest []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}
