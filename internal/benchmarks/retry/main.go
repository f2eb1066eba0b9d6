// Command retry compares the happy path of retry.Do, an operation that succeeds
// at once, with that of the retry libraries in use, in one interleaved run.
package main

import (
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

func main() {
	compare.Main(compare.Settings{Rounds: 31, Length: 10 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"retry."}
		for _, kind := range contexts() {
			err := p.Compare(compare.Comparison{
				Title:      "An operation that succeeds at once, context " + kind.name,
				Allocs:     true,
				Candidates: libraries(kind.ctx),
				Goals: []compare.Goal{
					{Ref: "2.6", Says: "retry.Do allocates nothing", Of: "retry.Do", Allocs: true, Want: compare.AtMost(0)},
					{Ref: "2.6", Says: "retry.Do is faster than every other library", Of: "retry.Do",
						To: []string{"sethvargo/go-retry", "cenkalti/backoff", "avast/retry-go", "failsafe-go"}, Want: compare.AtMost(0.99)},
				},
			})
			kind.end()
			if err != nil {
				return err
			}
		}
		return nil
	})
}
