package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPipeline(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), 64, 50, &out))
	var replies, givenUp, connections int
	var rate, inEach float64
	_, err := fmt.Sscanf(out.String(), "replies %d, given up %d, connections %d\n%f calls a second, %f in each write\n",
		&replies, &givenUp, &connections, &rate, &inEach)
	require.NoError(t, err, out.String())
	require.Equal(t, 64*50, replies+givenUp)
	require.GreaterOrEqual(t, replies, 64*45)
	require.Equal(t, 1, connections)
	require.Greater(t, inEach, 1.)
}
