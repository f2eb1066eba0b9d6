package pool_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

func TestConfigValidate(t *testing.T) {
	const addr = "127.0.0.1:1"
	probe := func(context.Context, *conn.Conn) error { return nil }
	for _, tc := range []struct {
		field string
		c     pool.Config
	}{
		{"", pool.Config{}},
		{"", pool.Config{MaxConns: -1, MinIdle: 1000, MaxLifetime: -1, LifetimeJitter: time.Hour,
			MaxWaiters: -1, Probe: pool.Probe{Mode: pool.ProbeNever}, MaxDialing: -1, DialBackoff: conn.DialBackoff{After: -1}}},
		{"", pool.Config{MinIdle: -1, GetTimeout: -1, LifetimeJitter: -1, MaxIdleTime: -1, KeepAlive: -1}},
		{"", pool.Config{DialBackoff: conn.DialBackoff{Min: time.Minute}}},
		{"", pool.Config{KeepAlive: 1, Probe: pool.Probe{Mode: pool.ProbeNever, Func: probe}}},
		{"MinIdle", pool.Config{MinIdle: 5, MaxConns: 4}},
		{"MinIdle", pool.Config{MinIdle: 65}},
		{"MinIdle", pool.Config{MinIdle: math.MaxInt, MaxConns: -1}},
		{"LifetimeJitter", pool.Config{LifetimeJitter: 600 * time.Second}},
		{"LifetimeJitter", pool.Config{LifetimeJitter: 2, MaxLifetime: 1}},
		{"DialTimeout", pool.Config{DialTimeout: -1}},
		{"DialBackoff", pool.Config{DialBackoff: conn.DialBackoff{Min: -1}}},
		{"DialBackoff", pool.Config{DialBackoff: conn.DialBackoff{Max: 1}}},
		{"Hooks", pool.Config{Hooks: []any{[]int{1}}}},
		{"Hooks", pool.Config{Hooks: []any{nil}}},
		{"Probe.Mode", pool.Config{Probe: pool.Probe{Mode: 17}}},
		{"Probe.After", pool.Config{Probe: pool.Probe{After: -1}}},
		{"Probe.After", pool.Config{Probe: pool.Probe{After: 1, Mode: pool.ProbeByCaller}}},
		{"Probe.Timeout", pool.Config{Probe: pool.Probe{Timeout: -1}}},
		{"KeepAlive", pool.Config{KeepAlive: 1}},
		{"LeakAfter", pool.Config{LeakAfter: 1}},
		{"LeakAfter", pool.Config{LeakAfter: -1}},
	} {
		t.Run(tc.field, func(t *testing.T) {
			p, err := pool.New(conn.Target{Address: addr}, tc.c)
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
	var cause *conn.ConfigError
	require.ErrorAs(t, pool.Config{DialBackoff: conn.DialBackoff{Min: -1}}.Validate(), &cause)
	require.Equal(t, "DialBackoff.Min", cause.Field)
	require.NoError(t, errors.Unwrap(pool.Config{LeakAfter: -1}.Validate()))
}

// TestTargetIsValidated says which field of the target is wrong.
func TestTargetIsValidated(t *testing.T) {
	_, err := pool.New(conn.Target{Address: "no-port"}, pool.Config{})
	var cerr *conn.ConfigError
	require.ErrorAs(t, err, &cerr)
	require.Equal(t, "Target.Address", cerr.Field)
}

// TestConfigBackendRefuses passes on the error of a backend that cannot.
func TestConfigBackendRefuses(t *testing.T) {
	no := errors.ErrUnsupported
	p, err := pool.New(conn.Target{Address: "127.0.0.1:1"}, pool.Config{
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
		{pool.Config{}, backend.Limits{Max: 64, DialTimeout: 30 * time.Second}},
		{pool.Config{MaxConns: -1, MaxWaiters: -1, DialTimeout: 1}, backend.Limits{MaxWaiters: -1, DialTimeout: 1}},
		{pool.Config{MaxConns: math.MaxInt, MaxWaiters: 7}, backend.Limits{Max: math.MaxInt, MaxWaiters: 7, DialTimeout: 30 * time.Second}},
	} {
		var got backend.Limits
		tc.c.Backend = func(_ backend.Factory[*pool.Member], l backend.Limits) (backend.Backend[*pool.Member], error) {
			got = l
			return nil, errors.ErrUnsupported
		}
		_, err := pool.New(conn.Target{Address: "127.0.0.1:1"}, tc.c)
		require.Error(t, err)
		require.NotNil(t, got.Queue)
		got.Queue = nil
		require.Equal(t, tc.want, got)
	}
}
