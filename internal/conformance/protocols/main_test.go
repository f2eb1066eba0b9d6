package protocols_test

import (
	"testing"

	"github.com/seed-99d6a01a/gtcp"
)

// eachMode runs a test over an exclusive and a shared client.
func eachMode(t *testing.T, addr string, config gtcp.ClientConfig, f func(t *testing.T, c *gtcp.Client)) {
	for name, shared := range map[string]bool{"exclusive": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			config := config
			config.Shared = shared
			c := gtcp.NewClient(addr, config)
			t.Cleanup(func() { _ = c.Close() })
			f(t, c)
		})
	}
}
