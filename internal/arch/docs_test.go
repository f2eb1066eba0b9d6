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

// named finds the tests that a document names; a star at the end stands for
// any ending.
var named = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+\\*?)`")

// declared finds the tests in a test file.
var declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]*)\(`)

func TestDocumentsNameTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	documents := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		isTest, isDocument := strings.HasSuffix(path, "_test.go"), strings.HasSuffix(path, ".md")
		if e.IsDir() || !isTest && !isDocument {
			return nil
		}
		text, err := os.ReadFile(path)
		if isDocument {
			documents[path] = string(text)
			return err
		}
		for _, match := range declared.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
		}
		return err
	})
	require.NoError(t, err)

	require.Equal(t, []string{"TestNoSuch", "TestNone*"}, unknownTests("`TestNoSuch` `TestSizes` `TestDoc*` `TestNone*`", tests))
	count := 0
	for path, text := range documents {
		count += len(named.FindAllString(text, -1))
		require.Empty(t, unknownTests(text, tests), path)
	}
	require.NotZero(t, count)
}

// unknownTests are the tests that text names and that are not among tests.
func unknownTests(text string, tests map[string]bool) (unknown []string) {
	for _, match := range named.FindAllStringSubmatch(text, -1) {
		if !exists(match[1], tests) {
			unknown = append(unknown, match[1])
		}
	}
	return unknown
}

func exists(name string, tests map[string]bool) bool {
	prefix, open := strings.CutSuffix(name, "*")
	if !open {
		return tests[name]
	}
	for test := range tests {
		if strings.HasPrefix(test, prefix) {
			return true
		}
	}
	return false
}
