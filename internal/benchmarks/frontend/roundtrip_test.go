package frontend

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// BenchmarkRoundTrip is what the settings of a pool cost beside the least that
// can be done with a loan: 64 bytes to a server on loopback and back.
func BenchmarkRoundTrip(b *testing.B) {
	base := pool.Config{Backend: slotpool.Open[*pool.Member]}
	for _, row := range []struct {
		name string
		set  func(*pool.Config) // nil: one loan for all
	}{
		{"one-loan", nil},
		{"no-probe", func(c *pool.Config) { c.ProbeAfter = -1 }},
		{"probe-after-1s", func(c *pool.Config) { c.ProbeAfter = time.Second }},
		{"probe-always", func(c *pool.Config) {}},
		{"idle-limit", func(c *pool.Config) { c.MaxIdleTime = time.Minute }},
		{"leak-report", func(c *pool.Config) { c.LeakReport = func(pool.Leak) {} }},
	} {
		b.Run(row.name, func(b *testing.B) {
			c := base
			c.Address = serveEcho(b)
			if row.set != nil {
				row.set(&c)
			}
			p, err := pool.New(c)
			require.NoError(b, err)
			defer func() { require.NoError(b, p.Close(context.Background())) }()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			msg := make([]byte, 64)
			var hold *pool.Conn
			if row.set == nil {
				hold, err = p.Get(ctx)
				require.NoError(b, err)
				defer hold.Close()
			}
			b.ReportAllocs()
			for b.Loop() {
				c := hold
				if c == nil {
					if c, err = p.Get(ctx); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := c.Write(msg); err != nil {
					b.Fatal(err)
				}
				if _, err := c.ReadFull(msg); err != nil {
					b.Fatal(err)
				}
				if hold == nil {
					_ = c.Close()
				}
			}
		})
	}
}

// serveEcho starts an echo server for messages of 64 bytes.
func serveEcho(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				msg := make([]byte, 64)
				for {
					if _, err := io.ReadFull(c, msg); err != nil {
						return
					}
					if _, err := c.Write(msg); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
