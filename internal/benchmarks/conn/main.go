// Command conn compares package conn with gtcp, bufio and code written by hand
// over loopback sockets: lines by delimiter, the health check, what a context
// costs, and writes of two buffers.
package main

import (
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

func main() {
	compare.Main(compare.Settings{Rounds: 41, Length: 10 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"conn."}
		for _, table := range []func() (compare.Comparison, error){
			lines, checks, contexts, writes(4 << 10), writes(16 << 10), writes(64 << 10),
		} {
			c, err := table()
			if err != nil {
				return err
			}
			c.Allocs = true
			if err := p.Compare(c); err != nil {
				return err
			}
		}
		return nil
	})
}
