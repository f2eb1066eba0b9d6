package netlab

import (
	"math/rand/v2"
	"time"
)

// Fault is what happens to the packets of one direction between two hosts. The
// zero value is a perfect link. Chances are from 0 to 1, for each packet.
type Fault struct {
	// Loss is the chance that a packet vanishes.
	Loss float64
	// Duplicate is the chance that it arrives twice.
	Duplicate float64
	// Corrupt is the chance that one of its bits arrives changed.
	Corrupt float64
	// Reorder is the chance that it arrives 5 ms late, behind later ones.
	Reorder float64
	// Reset is the chance that a packet of a connection is replaced by a reset
	// of that connection towards both ends.
	Reset float64
	// Delay is how long each packet is under way, and Jitter the most that is
	// added to it at random.
	Delay, Jitter time.Duration
	// Rate is how many bytes a second pass. Zero means no limit. What would
	// have to wait for longer than 200 ms is dropped.
	Rate int
	// MTU is the largest packet that passes; larger ones vanish, and nobody is
	// told. Zero means no limit.
	MTU int
	// Block drops everything.
	Block bool
	// DropSYN drops the first packet of each connection, so that no new
	// connection comes about and the old ones live on.
	DropSYN bool
	// DropBusy drops the packets of all connections that exist when the fault
	// begins, as a firewall does that lost its table; new ones pass.
	DropBusy bool
	// DropIdle drops the packets of a connection from when nothing has passed
	// for that long. Zero means never.
	DropIdle time.Duration
}

const (
	reorderDelay = 5 * time.Millisecond
	queueDelay   = 200 * time.Millisecond // what a rate limit lets wait
)

// direction is the way from one host to another, with its fault.
type direction struct {
	fault Fault
	free  time.Time     // when the rate limit lets the next packet begin
	dead  map[flow]bool // connections whose packets are dropped
}

// delivery is a packet and when it arrives.
type delivery struct {
	raw []byte
	at  time.Time
}

// pass says what arrives of a packet that is sent at now, the idle time of whose
// connection is idle. Forged resets go both ways: those for the sender are in
// back. The packet's bytes may be changed.
func (d *direction) pass(now time.Time, p packet, idle time.Duration, random *rand.Rand) (forth []delivery, back []byte) {
	f := &d.fault
	if d.drops(p, idle) || random.Float64() < f.Loss {
		return nil, nil
	}
	if p.tcp != nil && p.flags()&(flagSYN|flagRST) == 0 && random.Float64() < f.Reset {
		both := p.resets()
		return []delivery{{both[0], now}}, both[1]
	}
	at := now.Add(f.Delay)
	if f.Jitter > 0 {
		at = at.Add(time.Duration(random.Int64N(int64(f.Jitter))))
	}
	if random.Float64() < f.Reorder {
		at = at.Add(reorderDelay)
	}
	if f.Rate > 0 {
		if d.free.Before(now) {
			d.free = now
		}
		if d.free.Sub(now) > queueDelay {
			return nil, nil
		}
		d.free = d.free.Add(time.Duration(len(p.raw)) * time.Second / time.Duration(f.Rate))
		at = at.Add(d.free.Sub(now))
	}
	if random.Float64() < f.Corrupt {
		bit := random.IntN(8 * len(p.raw))
		p.raw[bit/8] ^= 1 << (bit % 8)
	}
	forth = append(forth, delivery{p.raw, at})
	if random.Float64() < f.Duplicate {
		forth = append(forth, delivery{p.raw, at})
	}
	return forth, nil
}

// drops reports whether the packet vanishes whatever chance says.
func (d *direction) drops(p packet, idle time.Duration) bool {
	f := &d.fault
	if f.Block || f.MTU > 0 && len(p.raw) > f.MTU || f.DropSYN && p.opens() {
		return true
	}
	if p.tcp == nil {
		return false
	}
	if f.DropIdle > 0 && idle > f.DropIdle {
		d.dead[p.flow()] = true
	}
	if p.opens() && !f.DropBusy {
		delete(d.dead, p.flow()) // the ports are in use again
	}
	return d.dead[p.flow()]
}
