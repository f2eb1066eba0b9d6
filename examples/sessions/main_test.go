package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSessions(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `session 1: green/apple = "1", error: <nil>
session 1: red/apple = "2", error: <nil>
session 1: red/pear = "", error: store: no such key
session 2: green/apple = "1", error: <nil>
session 3: green/apple = "1", error: <nil>
3 logins
`, out.String())
	page, err := os.ReadFile("../../docs/session-pool.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "```text\n"+out.String()+"```\n")
}

// A login that the server refuses is the error of the caller.
func TestWrongSecret(t *testing.T) {
	s, addr, stop, err := start()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	right := "right"
	s.secret.Store(&right)
	client, err := newStore(addr, func() string { return "wrong" })
	require.NoError(t, err)
	defer client.sessions.Close()
	_, _, err = client.get(t.Context(), "green", "apple")
	var refused *refusal
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "log in first")
	require.True(t, retry.SafeToRetry(err), "no request was sent")
	require.Zero(t, client.sessions.Stat().Open)
}

// A caller whose time is over leaves no reply behind for the next one.
func TestTimeoutClosesTheSession(t *testing.T) {
	s, addr, stop, err := start()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	secret := "apples"
	s.secret.Store(&secret)
	client, err := newStore(addr, func() string { return secret })
	require.NoError(t, err)
	defer client.sessions.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err = client.sessions.Do(ctx, func(c *pool.Conn) error {
		_, err := c.Write([]byte("GET app"))
		require.NoError(t, err)
		cancel() // in the middle of a request
		_, err = c.ReadUntil(nil, []byte("\n"), 1<<10)
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
	value, number, err := client.get(t.Context(), "green", "apple")
	require.NoError(t, err)
	require.Equal(t, "1", value)
	require.Equal(t, "2", number)
}
