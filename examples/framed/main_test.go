package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramed(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"hello", "", "grösse"}, &out))
	require.Equal(t, "A HELLO\nA \nA GRÖSSE\n", out.String())
}
