package main

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var answered = regexp.MustCompile(
	`^> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (127\.0\.0\.1:\d+) (127\.0\.0\.1:\d+)$`)

// rounds runs the example for n rounds and returns its lines.
func rounds(t *testing.T, n string, flags ...string) []string {
	var out bytes.Buffer
	args := append([]string{"-addr", "127.0.0.1:0", "-n", n, "-interval", "1ms"}, flags...)
	require.NoError(t, run(t.Context(), args, &out))
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestAnswerAndEOFAlternate(t *testing.T) {
	lines := rounds(t, "6")
	require.Len(t, lines, 6)
	ports := map[string]bool{}
	for i, line := range lines {
		if i%2 == 1 {
			require.Equal(t, "EOF", line)
			continue
		}
		m := answered.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		ports[m[1]] = true
	}
	require.Len(t, ports, 3, "each answer comes over a new connection")
}

func TestProbeSparesTheEOF(t *testing.T) {
	lines := rounds(t, "4", "-probe")
	require.Len(t, lines, 4)
	for _, line := range lines {
		require.Regexp(t, answered, line)
	}
}

func TestBadInput(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	err = run(t.Context(), []string{"-addr", busy.Addr().String(), "-n", "1"}, io.Discard)
	require.ErrorContains(t, err, busy.Addr().String())
	err = run(t.Context(), []string{"-interval", "-1s"}, io.Discard)
	require.ErrorContains(t, err, "-1s")
}
