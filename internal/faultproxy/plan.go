package faultproxy

import (
	"math/rand/v2"
	"time"
)

// Plan is what happens to one connection. The zero Plan forwards faithfully:
// bytes, half-closes and resets pass in both directions.
type Plan struct {
	// Refuse resets the connection as soon as it is accepted, without dialing
	// the target. The client's dial has mostly succeeded by then; for one that
	// fails see Proxy.Refuse.
	Refuse bool
	// Up is done to the bytes from client to server, Down to the others.
	Up, Down Fault
}

// Fault is what happens to one direction of a connection.
type Fault struct {
	// Chunk is the most that is forwarded by one write; 1 splits at every
	// byte, zero or less forwards bytes as they come. A receiver that reads
	// late still finds chunks joined; Delay holds them apart.
	Chunk int
	// Delay is waited before each write, and a random part of Jitter more.
	Delay, Jitter time.Duration
	// End happens once After bytes have been forwarded: exactly so many reach
	// the receiver. After zero or less is before the first byte.
	End   End
	After int64
}

// End is how a direction ends.
type End uint8

const (
	// Never is the zero End: the direction ends when its sender ends it.
	Never End = iota
	// Truncate sends a FIN to the receiver, then closes both connections.
	Truncate
	// HalfClose sends a FIN to the receiver and swallows the rest of this
	// direction; the other one goes on.
	HalfClose
	// Reset sends a RST to both sides.
	Reset
	// Stall is a black hole: what is sent in this direction vanishes and
	// nobody is told, until the sender closes or half-closes; then both
	// connections are closed. For a peer that does not read, so that the
	// sender blocks, see Proxy.Freeze.
	Stall
)

// Rates are the odds of Random's plans, each from 0 (never) to 1 (always).
// What remains after Refuse, Truncate, HalfClose, Reset and Stall, tried in
// this order, is a connection that lives on.
type Rates struct {
	Refuse, Truncate, HalfClose, Reset, Stall float64
	// Split and Delay are drawn for each direction beside the others.
	Split, Delay float64
	// MaxBytes bounds the bytes before an End; zero or less means 64 KiB.
	MaxBytes int64
	// MaxChunk bounds the chunk of a split; zero or less means 16.
	MaxChunk int
	// MaxDelay bounds Delay and Jitter together; zero or less means 2 ms.
	MaxDelay time.Duration
}

// Random returns a plan function whose n-th plan depends on seed and n alone.
func Random(seed uint64, r Rates) func(n int) Plan {
	if r.MaxBytes <= 0 {
		r.MaxBytes = 64 << 10
	}
	if r.MaxChunk <= 0 {
		r.MaxChunk = 16
	}
	if r.MaxDelay <= 0 {
		r.MaxDelay = 2 * time.Millisecond
	}
	return func(n int) Plan {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		p := Plan{Up: r.shape(rng), Down: r.shape(rng)}
		p.Refuse = rng.Float64() < r.Refuse
		end := r.end(rng)
		if side := &p.Down; end != Never {
			if rng.IntN(2) == 0 {
				side = &p.Up
			}
			side.End, side.After = end, rng.Int64N(r.MaxBytes+1)
		}
		return p
	}
}

func (r Rates) shape(rng *rand.Rand) (f Fault) {
	if rng.Float64() < r.Split {
		f.Chunk = 1 + rng.IntN(r.MaxChunk)
	}
	if rng.Float64() < r.Delay {
		f.Delay = time.Duration(rng.Int64N(int64(r.MaxDelay)))
		f.Jitter = time.Duration(rng.Int64N(int64(r.MaxDelay-f.Delay) + 1))
	}
	return f
}

func (r Rates) end(rng *rand.Rand) End {
	for _, c := range []struct {
		rate float64
		end  End
	}{{r.Truncate, Truncate}, {r.HalfClose, HalfClose}, {r.Reset, Reset}, {r.Stall, Stall}} {
		if rng.Float64() < c.rate {
			return c.end
		}
	}
	return Never
}
