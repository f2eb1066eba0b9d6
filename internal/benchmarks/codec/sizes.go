package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// sizes are those of the table by frame size, with the least part of a bare copy's
// rate that was asked for.
var sizes = []struct {
	name  string
	bytes int
	least float64
}{
	{"16 B", 16, 0}, {"64 B", 64, 0.75}, {"1 KiB", 1 << 10, 0.9}, {"16 KiB", 16 << 10, 0.9},
	{"256 KiB", 256 << 10, 0.9}, {"1 MiB", 1 << 20, 0.9}, {"16 MiB", 16 << 20, 0.9},
}

const bareCopy = "bare copy"

// bySize compares readers of frames with 4 bytes of length, from small to large
// ones.
func bySize(p *compare.Program) error {
	defer func(s compare.Settings) { p.Settings = s }(p.Settings)
	p.Settings.Rounds, p.Settings.Length = min(p.Settings.Rounds, 31), 7*p.Settings.Length
	c := compare.Comparison{Title: "Read frames of all sizes", Compared: len(sizes), Bases: []string{bareCopy}}
	for column, s := range sizes {
		c.Columns = append(c.Columns, s.name+", GB/s")
		for _, of := range []string{"framing Next", "framing ReadFrame"} {
			if s.least > 0 {
				c.Goals = append(c.Goals, compare.Goal{Ref: "D.4", Says: fmt.Sprintf("%s, %s: nearly as fast as a bare copy", of, s.name),
					Of: of, To: []string{bareCopy}, Column: column, Want: compare.AtLeast(s.least)})
			}
		}
	}
	for _, reader := range []struct {
		name string
		open func(io.Reader) func() (int, error)
	}{{bareCopy, copyRead}, {"framing Next", nextOf}, {"framing ReadFrame", readFrameOf}} {
		var steps []func() (int, error)
		for _, s := range sizes {
			steps = append(steps, reader.open(newEndless(4, make([]byte, s.bytes))))
		}
		c.Candidates = append(c.Candidates, compare.Candidate{Name: reader.name, Measure: func(length time.Duration) (rates []float64, err error) {
			for i, step := range steps {
				rate, err := throughput(step, sizes[i].bytes, length/time.Duration(len(steps)))
				if err != nil {
					return nil, err
				}
				rates = append(rates, rate)
			}
			return rates, nil
		}})
	}
	return p.Compare(c)
}

// throughput is how many GB of frames a second a reader reads.
func throughput(step func() (int, error), size int, length time.Duration) (float64, error) {
	batch := max(1, 64<<10/size) // between two looks at the clock
	begun, frames := time.Now(), 0
	for {
		for range batch {
			if n, err := step(); err != nil || n != size {
				return 0, fmt.Errorf("frame of %d bytes in place of %d: %w", n, size, err)
			}
		}
		frames += batch
		if took := time.Since(begun); took >= length {
			return float64(frames) * float64(size) / float64(took.Nanoseconds()), nil
		}
	}
}

// large is the format of all sizes.
var large = framing.Format{HeaderSize: 4, MaxSize: 32 << 20}

func nextOf(r io.Reader) func() (int, error) { return next(framing.NewReader(r, large)) }

func readFrameOf(source io.Reader) func() (int, error) {
	r := framing.NewReader(source, large)
	var dst []byte
	return func() (n int, err error) {
		dst, err = r.ReadFrame(dst[:0])
		return len(dst), err
	}
}

// copyRead is the least code that brings each frame into memory of one's own. It
// trusts the length.
func copyRead(source io.Reader) func() (int, error) {
	r := bufio.NewReaderSize(source, 16<<10)
	var frame []byte
	return func() (int, error) {
		head, err := r.Peek(4)
		if err != nil {
			return 0, err
		}
		n := int(binary.BigEndian.Uint32(head))
		_, _ = r.Discard(4) // they are there
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		return io.ReadFull(r, frame[:n])
	}
}
