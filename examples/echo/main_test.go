package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var answered = regexp.MustCompile(
	`^> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (127\.0\.0\.1:\d+) (127\.0\.0\.1:\d+)$`)

func TestOneConnectionServesEveryRound(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-n", "3", "-interval", "1ms"}, &out))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 3)
	first := answered.FindStringSubmatch(lines[0])
	require.NotNil(t, first, lines[0])
	for _, line := range lines {
		m := answered.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		require.Equal(t, first[1:], m[1:])
	}

	// docs/compat.md shows three such lines.
	page, err := os.ReadFile("../../docs/compat.md")
	require.NoError(t, err)
	_, shown, ok := strings.Cut(string(page), "\n```\n> ")
	require.True(t, ok)
	shown, _, _ = strings.Cut("> "+shown, "\n```")
	shownLines := strings.Split(shown, "\n")
	require.Len(t, shownLines, 3)
	for _, line := range shownLines {
		m := answered.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		require.Equal(t, answered.FindStringSubmatch(shownLines[0])[1:], m[1:])
	}
}

// stopper ends the context with the second line written.
type stopper struct {
	stop  func()
	lines int
}

func (s *stopper) Write(p []byte) (int, error) {
	if s.lines++; s.lines == 2 {
		s.stop()
	}
	return len(p), nil
}

func TestEndsCleanlyWhenInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	require.NoError(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-interval", "1ms"}, &stopper{stop: stop}))
}

func TestBadInput(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	for name, test := range map[string]struct{ addr, n, says string }{
		"busy port": {busy.Addr().String(), "1", busy.Addr().String()},
		"malformed": {"no port here", "1", "no port here"},
		"negative":  {"127.0.0.1:0", "-1", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), []string{"-addr", test.addr, "-n", test.n}, io.Discard)
			require.ErrorContains(t, err, test.says)
		})
	}
}
