package balance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
)

func TestChangeInWords(t *testing.T) {
	for want, c := range map[string]balance.Change{
		"warming, added":                      {From: balance.Removed, To: balance.Warming, Reason: "added"},
		"ready to ejected, failures in a row": {From: balance.Ready, To: balance.Ejected, Reason: "failures in a row"},
		"removed":                             {From: balance.Ejected, To: balance.Removed, Reason: "removed"},
	} {
		require.Equal(t, want, c.String())
	}
}
