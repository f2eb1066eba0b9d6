// Command codec compares the frame reader and writer with gtcp's package
// protocol, with go-msgio and with code written by hand for one format, all in
// memory; and readers of frames from 16 bytes to 16 MiB with a bare copy.
package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

func main() {
	size := flag.Int("size", 64, "payload of a frame in bytes, at most 65535")
	compare.Main(compare.Settings{Rounds: 61, Length: 10 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"framing "}
		payload := make([]byte, *size)
		err := p.Compare(compare.Comparison{
			Title:      fmt.Sprintf("Read frames of %d bytes", *size),
			Bases:      []string{readFloor, "gtcp RecvPkg"},
			Allocs:     true,
			Candidates: candidates(readers(payload), *size),
			Goals:      goals("framing Next, own buffer", readFloor, "gtcp RecvPkg"),
		})
		if err != nil {
			return err
		}
		err = p.Compare(compare.Comparison{
			Title:      fmt.Sprintf("Write frames of %d bytes", *size),
			Bases:      []string{writeFloor, "gtcp SendPkg"},
			Allocs:     true,
			Candidates: candidates(writers(payload), *size),
			Goals:      goals("framing WriteFrame, coalesced", writeFloor, "gtcp SendPkg"),
		})
		if err != nil {
			return err
		}
		return bySize(p)
	})
}

// goals are the same for reading and writing.
func goals(ours, floor, gtcp string) []compare.Goal {
	return []compare.Goal{
		{Ref: "2.1", Says: "no allocations", Of: ours, Allocs: true, Want: compare.AtMost(0)},
		{Ref: "2.1", Says: "at least 4 times as fast as gtcp", Of: gtcp, To: []string{ours}, Want: compare.AtLeast(4)},
		{Ref: "2.1", Says: "at most twice the floor written by hand", Of: ours, To: []string{floor}, Want: compare.AtMost(2)},
	}
}
