package arch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	recordedPackage = regexp.MustCompile(`(?m)^package (\w+) // (\S+)$`)
	recordedError   = regexp.MustCompile(`(?m)^(?:\t|var )(Err[A-Z]\w*) |^type (\w*Error) struct`)
	recordedKind    = regexp.MustCompile(`(?m)^\s+Kind[A-Z]\w*\s+= "([^"]+)"`)
)

// TestTheErrorsPageHasEachError holds docs/errors.md against the recorded API: each
// error to compare with, each type of error, each kind.
func TestTheErrorsPageHasEachError(t *testing.T) {
	api, err := os.ReadFile(filepath.Join(root, "docs", "api.txt"))
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "errors.md"))
	require.NoError(t, err)
	names := exportedErrors(string(api))
	require.Greater(t, len(names), 40)
	require.Contains(t, names, "`*gtcp.CallError`")
	for _, name := range names {
		require.True(t, strings.Contains(string(page), name), "docs/errors.md has no row for %s", name)
	}
	kinds := append(recordedKind.FindAllStringSubmatch(string(api), -1), []string{"", "resolve"})
	require.Greater(t, len(kinds), 10)
	for _, kind := range kinds {
		require.True(t, strings.Contains(string(page), "\n| `"+kind[1]+"` |"), "docs/errors.md has no row for the kind %s", kind[1])
	}
}

func TestExportedErrorsAreSeen(t *testing.T) {
	const api = "package a // ./a\n\nvar (\n\tErrX = f()\n\tErrY error = g{}\n)\n\nvar ErrZ = h()\n\ntype Error struct {\n\tErr error\n}\n\n" +
		"package b // ./b\n\ntype ConfigError struct {\n"
	require.Equal(t, []string{"`a.ErrX`", "`a.ErrY`", "`a.ErrZ`", "`*a.Error`", "`*b.ConfigError`"}, exportedErrors(api))
}

// exportedErrors are the names of errors in the recorded API, as the page writes them.
func exportedErrors(api string) (names []string) {
	starts := recordedPackage.FindAllStringSubmatchIndex(api, -1)
	for i, at := range starts {
		end := len(api)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		pkg := api[at[2]:at[3]]
		for _, match := range recordedError.FindAllStringSubmatch(api[at[1]:end], -1) {
			if match[1] != "" {
				names = append(names, "`"+pkg+"."+match[1]+"`")
			} else {
				names = append(names, "`*"+pkg+"."+match[2]+"`")
			}
		}
	}
	return names
}
