package pool

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
)

// Reason says why a connection ended.
type Reason uint8

// The reasons. The zero Reason means that the connection has not ended.
const (
	kept        Reason = iota
	Expired            // MaxLifetime was over
	IdleTooLong        // MaxIdleTime was over
	Dead               // a probe found it closed or broken
	Dirty              // it had unread bytes
	PeerClosed         // the peer closed it while it was checked out
	Broken             // an I/O error ended it while it was checked out
	TimedOut           // an operation or its caller timed out, so that a reply may still come
	Unfit              // an operation was canceled or in progress, a message was incomplete, or a deadline was set
	Discarded          // its caller called Evict and nothing was wrong with it, or Pool.EvictConn was called
	Suspect            // idle since before another connection of the pool timed out or was reset
	Cleared            // Pool.Clear was called
	Surplus            // Pool.Resize made MaxConns smaller
	PoolClosed         // the pool was closed
	reasons            // how many there are
)

var reasonNames = [reasons]string{
	"kept", "expired", "idle too long", "dead", "dirty", "peer closed", "broken", "timed out",
	"unfit", "discarded", "suspect", "cleared", "surplus", "pool closed",
}

// String returns the reason in one to three words.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Evictions counts the connections that have ended. Its index is the [Reason].
type Evictions [reasons]uint64

// Total is the number of connections that have ended.
func (e Evictions) Total() (n uint64) {
	for _, k := range e {
		n += k
	}
	return n
}

// String returns the reasons that have occurred, with their counts: "expired 3,
// dead 1". It is "none" if no connection has ended.
func (e Evictions) String() string {
	var b strings.Builder
	for reason, n := range e {
		if n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%v %d", Reason(reason), n)
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

// Stat is a snapshot of a pool. If OpenTelemetry's conventions for
// connection pools have a name for a figure, the comment has that name in
// brackets.
type Stat struct {
	// MaxConns is the bound in force, 0 if there is none. (connection.max)
	MaxConns int
	// MinIdle is Config.MinIdle. (connection.idle.min)
	MinIdle int

	// Open counts the connections, idle or in use. (connection.count)
	Open int
	// Idle counts the connections that are not checked out.
	// (connection.count, state idle)
	Idle int
	// Used counts the connections that are checked out. (connection.count,
	// state used)
	Used int
	// Dialing counts the connections that are being made, or wait for a turn
	// to be made.
	Dialing int
	// Waiting counts the Get calls that are blocked now.
	// (connection.pending_requests)
	Waiting int
	// OldestWait is how long the first of the blocked Get calls has
	// waited.
	OldestWait time.Duration

	// Gets counts the checkouts so far.
	Gets uint64
	// Waits counts the Get calls that found no idle connection.
	Waits uint64
	// WaitTime is the total time that Get calls have waited for a connection
	// to be released or dialed. (connection.wait_time)
	WaitTime time.Duration
	// Timeouts counts the Get calls that failed because their time was over.
	// (connection.timeouts)
	Timeouts uint64
	// Canceled counts the Get calls whose context was cancelled.
	Canceled uint64
	// Refused counts the Get calls that failed because MaxWaiters callers were
	// waiting already.
	Refused uint64
	// Overloaded counts the Get calls that failed because they would have
	// waited longer than their deadline allows.
	Overloaded uint64
	// Failed counts the Get calls that failed for another reason, usually
	// because a dial failed.
	Failed uint64

	// Dials counts the dials so far.
	Dials uint64
	// DialErrors counts the dials that have failed.
	DialErrors uint64
	// DialTime is the total duration of all dials. (connection.create_time)
	DialTime time.Duration
	// LastDialError is the last failure of a dial so far, or nil.
	LastDialError error
	// Suspended reports whether dialing is suspended, because dials have
	// failed.
	Suspended bool
	// SuspendedUntil is when the next dial may be made, if Suspended.
	SuspendedUntil time.Time

	// BytesRead counts the bytes received on all connections so far.
	BytesRead uint64
	// BytesWritten counts the bytes sent on all connections so far.
	BytesWritten uint64
	// HoldTime is the recent median duration of a checkout, 0 if it is not
	// known yet.
	HoldTime time.Duration

	// Evictions counts the connections that have ended, by Reason.
	Evictions Evictions
}

// countEvicted counts the end of a connection.
func (p *Pool) countEvicted(why Reason) {
	if p.evicted.Load() == nil {
		p.evicted.CompareAndSwap(nil, new([reasons]atomic.Uint64))
	}
	p.evicted.Load()[why].Add(1)
}

// Stat returns a snapshot. It reads the counters of each connection, and is
// cheap enough for many calls a second. Figures may differ from each other
// by the calls in progress.
func (p *Pool) Stat() Stat {
	b := p.backend.Stat()
	s := Stat{
		MaxConns: b.Max, MinIdle: p.cfg.MinIdle,
		Open: b.Open(), Idle: b.Idle, Used: b.Used, Dialing: b.Dialing, Waiting: b.Waiting, OldestWait: b.OldestWait,
		Waits: b.Waits, WaitTime: b.WaitTime, Refused: b.Refused,
		Timeouts: p.timeouts.Load(), Canceled: p.cancelled.Load(), Overloaded: p.overloaded.Load(), Failed: p.failed.Load(),
		Dials: p.dials.Load(), DialErrors: p.dialErrors.Load(), DialTime: time.Duration(p.dialTime.Load()),
		LastDialError: dialgate.Readable(p.gate.LastError()), HoldTime: p.admission.holdTime(),
	}
	s.Gets, s.BytesRead, s.BytesWritten = p.roster.totals()
	s.Gets += uint64(b.Used)
	s.SuspendedUntil, s.Suspended = p.gate.Suspended()
	if !s.Suspended {
		s.SuspendedUntil = time.Time{}
	}
	if evicted := p.evicted.Load(); evicted != nil {
		for r := range evicted {
			s.Evictions[r] = evicted[r].Load()
		}
	}
	return s
}
