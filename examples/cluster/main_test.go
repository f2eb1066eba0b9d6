package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The servers are this test's binary, run again.
func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A server is added, one is killed, one is drained, etcd is killed and restarted:
// no idempotent call fails, and the server that is added last gets traffic within
// a second.
func TestClusterLosesNoCall(t *testing.T) {
	build := os.Getenv("CLUSTER_BUILD_ETCD") != ""
	if _, err := exec.LookPath("etcd"); err != nil && !build {
		t.Skip("no etcd in PATH: install the distribution's package etcd-server, or set CLUSTER_BUILD_ETCD=1 to build it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out strings.Builder
	r, err := run(ctx, options{callers: 16, step: 1500 * time.Millisecond, build: build}, &out)
	require.NoError(t, err, out.String())
	require.Zero(t, r.failed, "%v\n%s", r.lastErr, out.String())
	require.NotZero(t, r.calls)
	t.Logf("%d calls, the last server has its first after %v", r.calls, r.noticed)
	require.Contains(t, out.String(), "another server is added")
}
