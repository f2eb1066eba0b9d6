package pool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// Pools with equal settings share a copy of them, but for those with code: hooks of two
// pools may look equal, and a shared copy would keep the code of a pool that has gone.
func TestPoolsWithEqualSettingsShareThem(t *testing.T) {
	plain := Config{MaxConns: 7}.withDefaults()
	require.NotNil(t, plain.Backend)
	one := plain.shared()
	require.Nil(t, one.Backend, "it is made once")
	for name, give := range map[string]func(c *Config){
		"AfterConnect": func(c *Config) { c.AfterConnect = func(context.Context, *conn.Conn) (any, error) { return nil, nil } },
		"Probe.Func":   func(c *Config) { c.Probe.Func = func(context.Context, *conn.Conn) error { return nil } },
		"LeakReport":   func(c *Config) { c.LeakReport = func(Leak) {} },
		"Hooks":        func(c *Config) { c.Hooks = []any{&struct{ n int }{1}} },
	} {
		code := plain
		give(&code)
		require.NotSame(t, one, code.shared(), name)
		require.NotSame(t, code.shared(), code.shared(), name)
		require.Same(t, one, plain.shared(), "%s: others share what they did", name)
	}
}
