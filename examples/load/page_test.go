package main

import (
	"bytes"
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// make load-page runs the commands of the pages as they are, and writes what they
// print and draw into the pages. Without it, TestPages runs them for a moment and
// compares all but the numbers.
var update = flag.Bool("update", false, "write the output of the commands and the charts into the pages")

var pages = []string{"../../docs/load-testing.md", "../../docs/tuning.md"}

// example finds a command of a page and what it prints.
var example = regexp.MustCompile("(?s)```sh\n(?:cd examples/load\n)?go run \\. ([^\n]*)\n```\n\n```text\n(.*?)```")

func TestPages(t *testing.T) {
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			require.NoError(t, err)
			charts := filepath.Join(filepath.Dir(page), "charts")
			found := example.FindAllStringSubmatch(string(text), -1)
			require.NotEmpty(t, found)
			for _, match := range found {
				s, err := parse(words(match[1]), os.Stderr)
				require.NoError(t, err, match[1])
				for _, file := range []string{s.svg, s.bars} {
					require.True(t, file == "" || strings.Contains(string(text), "(charts/"+file+")"), "the page shows %s", file)
				}
				s.progress = 0
				if *update {
					printed := output(t, s, charts)
					text = bytes.Replace(text, []byte(match[2]), []byte(printed), 1)
					continue
				}
				require.Equal(t, skeleton(match[2]), skeleton(output(t, brief(t, s), t.TempDir())), match[1])
			}
			if *update {
				require.NoError(t, os.WriteFile(page, text, 0o644))
			}
		})
	}
}

// output runs the program; its charts go to a folder.
func output(t *testing.T, s settings, folder string) string {
	t.Helper()
	for _, file := range []*string{&s.svg, &s.bars} {
		if *file != "" {
			*file = filepath.Join(folder, *file)
		}
	}
	var out, log bytes.Buffer
	code, err := s.measure(t.Context(), &out, &log)
	require.NoError(t, err)
	require.Zero(t, code)
	for _, file := range []string{s.svg, s.bars} {
		require.True(t, file == "" || exists(file))
	}
	return out.String()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// brief makes a run short, and gives it ports that are free.
func brief(t *testing.T, s settings) settings {
	t.Helper()
	s.duration, s.turn, s.warmUp, s.timeout, s.grace = 60*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond, 10*time.Second, 10*time.Second
	for i, e := range s.echoes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		for n, target := range s.targets {
			if target.addr == e.addr {
				s.targets[n].addr = l.Addr().String()
			}
		}
		s.echoes[i].listener = l
	}
	return s
}

var (
	figures = regexp.MustCompile(`[0-9][0-9.,]*(ns|µs|ms|s)?\b`)
	blanks  = regexp.MustCompile(` +`)
)

// skeleton is an output without what differs from run to run: numbers, the widths
// of columns, and calls that started late.
func skeleton(output string) string {
	lines := strings.Split(output, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, " started more than ") })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(blanks.ReplaceAllString(figures.ReplaceAllString(line, "#"), " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// words splits a command as a shell does, with single quotes.
func words(command string) []string {
	quoted := false
	split := strings.Map(func(r rune) rune {
		switch {
		case r == '\'':
			quoted = !quoted
			return -1
		case r == ' ' && !quoted:
			return '\n'
		}
		return r
	}, command)
	return strings.FieldsFunc(split, func(r rune) bool { return r == '\n' })
}

func TestWords(t *testing.T) {
	require.Equal(t, []string{"-a", "x:1,name=two words,shared", "y z"}, words("-a  x:1,name='two words',shared 'y z'"))
}
