package pool_test

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

func TestConfigValidate(t *testing.T) {
	const addr = "127.0.0.1:1"
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("no") }
	probe := func(context.Context, *conn.Conn) error { return nil }
	for _, tc := range []struct {
		field string
		c     pool.Config
	}{
		{"", pool.Config{Address: addr}},
		{"", pool.Config{Dial: dial}},
		{"", pool.Config{Network: "unix", Address: "/tmp/no-port"}},
		{"", pool.Config{Address: addr, MaxConns: -1, MinIdle: 1000, MaxLifetime: -1, LifetimeJitter: time.Hour,
			MaxWaiters: -1, ProbeAfter: -1, MaxDialing: -1, DialBackoff: pool.DialBackoff{After: -1}}},
		{"", pool.Config{Address: addr, DialBackoff: pool.DialBackoff{Min: time.Minute}}},
		{"Address", pool.Config{}},
		{"Address", pool.Config{Address: "no-port"}},
		{"Address", pool.Config{Address: "a:b:c", Network: "tcp6"}},
		{"Dialer", pool.Config{Dial: dial, Dialer: &conn.Dialer{}}},
		{"Dialer", pool.Config{Address: addr, Dialer: &conn.Dialer{LocalAddr: &net.IPAddr{}}}},
		{"MinIdle", pool.Config{Address: addr, MinIdle: -1}},
		{"MinIdle", pool.Config{Address: addr, MinIdle: 5, MaxConns: 4}},
		{"MinIdle", pool.Config{Address: addr, MinIdle: pool.DefaultMaxConns + 1}},
		{"GetTimeout", pool.Config{Address: addr, GetTimeout: -1}},
		{"LifetimeJitter", pool.Config{Address: addr, LifetimeJitter: -1}},
		{"LifetimeJitter", pool.Config{Address: addr, LifetimeJitter: pool.DefaultMaxLifetime}},
		{"LifetimeJitter", pool.Config{Address: addr, LifetimeJitter: 2, MaxLifetime: 1}},
		{"MaxIdleTime", pool.Config{Address: addr, MaxIdleTime: -1}},
		{"DialTimeout", pool.Config{Address: addr, DialTimeout: -1}},
		{"DialBackoff.Min", pool.Config{Address: addr, DialBackoff: pool.DialBackoff{Min: -1}}},
		{"DialBackoff.Max", pool.Config{Address: addr, DialBackoff: pool.DialBackoff{Max: -1}}},
		{"DialBackoff.Max", pool.Config{Address: addr, DialBackoff: pool.DialBackoff{Max: 1}}},
		{"Hook", pool.Config{Address: addr, Hook: []int{1}}},
		{"BorrowerAsks", pool.Config{Address: addr, BorrowerAsks: true, ProbeAfter: -1}},
		{"BorrowerAsks", pool.Config{Address: addr, BorrowerAsks: true, Probe: probe}},
		{"LeakAfter", pool.Config{Address: addr, LeakAfter: 1}},
		{"LeakAfter", pool.Config{Address: addr, LeakAfter: -1}},
	} {
		t.Run(tc.field, func(t *testing.T) {
			p, err := pool.New(tc.c)
			if tc.field == "" {
				require.NoError(t, tc.c.Validate())
				require.NoError(t, err)
				closePool(t, p)
				return
			}
			require.Nil(t, p)
			var cerr *pool.ConfigError
			require.ErrorAs(t, err, &cerr)
			require.Equal(t, tc.field, cerr.Field)
			require.Contains(t, err.Error(), "Config."+tc.field+" ")
			require.False(t, cerr.SafeToRetry())
			require.Equal(t, err, tc.c.Validate())
		})
	}
}

// TestConfigErrorHasTheCause finds what a field said of itself.
func TestConfigErrorHasTheCause(t *testing.T) {
	bad := pool.Config{Address: "127.0.0.1"} // no port
	var cause *net.AddrError
	require.ErrorAs(t, bad.Validate(), &cause)
	require.NoError(t, errors.Unwrap(pool.Config{}.Validate()))
}

// TestConfigBackendRefuses passes on the error of a backend that cannot.
func TestConfigBackendRefuses(t *testing.T) {
	no := errors.ErrUnsupported
	p, err := pool.New(pool.Config{Address: "127.0.0.1:1",
		Backend: func(backend.Factory[*pool.Member], backend.Limits) (backend.Backend[*pool.Member], error) {
			return nil, no
		}})
	require.Nil(t, p)
	require.ErrorIs(t, err, no)
}

// TestConfigLimits shows what the backend is told.
func TestConfigLimits(t *testing.T) {
	for _, tc := range []struct {
		c    pool.Config
		want backend.Limits
	}{
		{pool.Config{}, backend.Limits{Max: pool.DefaultMaxConns, DialTimeout: pool.DefaultDialTimeout}},
		{pool.Config{MaxConns: -1, MaxWaiters: -1, DialTimeout: 1}, backend.Limits{MaxWaiters: -1, DialTimeout: 1}},
		{pool.Config{MaxConns: math.MaxInt, MaxWaiters: 7}, backend.Limits{Max: math.MaxInt, MaxWaiters: 7, DialTimeout: pool.DefaultDialTimeout}},
	} {
		var got backend.Limits
		tc.c.Address = "127.0.0.1:1"
		tc.c.Backend = func(_ backend.Factory[*pool.Member], l backend.Limits) (backend.Backend[*pool.Member], error) {
			got = l
			return nil, errors.ErrUnsupported
		}
		_, err := pool.New(tc.c)
		require.Error(t, err)
		require.Equal(t, tc.want, got)
	}
}
