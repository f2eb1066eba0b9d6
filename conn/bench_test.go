package conn_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// BenchmarkEcho sends 64 bytes and waits for them, on so many connections at a
// time. Both ends are a Conn.
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			conns := make([]*conn.Conn, n)
			for i := range conns {
				c, nc := tcpPair(b)
				conns[i] = c
				peer := conn.New(nc)
				go func() {
					for {
						p, err := peer.Peek(64)
						if err != nil {
							return
						}
						if _, err := peer.Write(p); err != nil {
							return
						}
						if _, err := peer.Discard(64); err != nil {
							return
						}
					}
				}()
				b.Cleanup(func() { peer.Close() })
			}
			var callers sync.WaitGroup
			b.ResetTimer()
			for i, c := range conns {
				calls := b.N / n
				if i < b.N%n {
					calls++
				}
				callers.Go(func() {
					p := make([]byte, 64)
					for range calls {
						if _, err := c.Write(p); err != nil {
							b.Error(err)
							return
						}
						if _, err := c.ReadFull(p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
		})
	}
}
