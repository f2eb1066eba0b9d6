package gtcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// forgetful acquires a connection, which nobody closes before the report.
func forgetful(t *testing.T, addr string) *gtcp.PoolConn {
	c, err := gtcp.NewPoolConn(addr)
	require.NoError(t, err)
	return c
}

// The report names who has acquired a connection and does not close it, also where
// the address is that of a service.
func TestLeakReport(t *testing.T) {
	addr := rawServer(t, echo)
	leaks := make(chan pool.Leak, 10)
	// By name: an earlier test may have left options of their own for a port that is used again.
	configure(t, gtcp.PoolOptions{LeakReport: func(l pool.Leak) { leaks <- l }, LeakAfter: time.Millisecond}, addr, t.Name())
	for _, name := range []string{addr, resolves(t, resolve.Addrs(addr), nil)} {
		began := time.Now()
		c := forgetful(t, name)
		l := <-leaks
		require.Equal(t, addr, l.Addr)
		require.Contains(t, l.Stack, "gtcp_test.forgetful")
		require.Contains(t, l.Stack, "facade_leak_test.go")
		require.WithinRange(t, l.Since, began.Add(-time.Second), time.Now().Add(time.Second))
		require.NoError(t, c.Close())
	}
}
