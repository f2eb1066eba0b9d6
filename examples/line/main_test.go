package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLine(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, "ADD 1 2 = 3\nADD 40 2 = 42\nADD one 2 = not a number\n", out.String())
}

func TestComputeRefusesWhatIsNoCommand(t *testing.T) {
	for _, line := range []string{"", "\n", "SUB 1 2\n", "ADD 1\n", "ADD 1 2 3\n"} {
		require.Equal(t, "usage: ADD number number", string(compute([]byte(line))), "%q", line)
	}
}
