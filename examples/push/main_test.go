package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"Anna", "Ben"}, &out))
	require.Equal(t, `Anna heard ["hello from Anna" "hello from Ben"]
Ben heard ["hello from Anna" "hello from Ben"]
`, out.String())
}
