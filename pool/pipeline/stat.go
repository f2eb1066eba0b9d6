package pipeline

import (
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
)

// Stat is a snapshot of a pipeline. Counts are since the pipeline was made.
type Stat struct {
	// Open counts the connections that take calls.
	Open int
	// Dialing reports whether a dial is in progress.
	Dialing bool
	// InFlight counts the requests accepted and without a reply, including
	// those whose callers have given up.
	InFlight int
	// Abandoned counts those of InFlight whose callers have given up.
	Abandoned int
	// Waiting counts the callers that wait because MaxInFlight is reached.
	Waiting int
	// Suspended reports whether calls that need a connection fail at once,
	// because dials have failed: see Config.DialBackoff.
	Suspended bool
	// SuspendedUntil is when the next dial may begin. It is zero if
	// Suspended is false, and in the past while a dial is in progress.
	SuspendedUntil time.Time

	// Failed counts the calls that returned an error other than their
	// context's, or ErrCallTimeout.
	Failed uint64
	// Refused counts the calls rejected because MaxWaiters callers were
	// already waiting. Failed counts them too.
	Refused uint64
	// Overloaded counts the calls that were not sent because their replies
	// would have come after their deadlines. Failed counts them too.
	Overloaded uint64
	// Timeouts counts the calls whose context's deadline passed, or that
	// Config.CallTimeout ended.
	Timeouts uint64
	// WaitTime is the sum of all waits because MaxInFlight was reached.
	WaitTime time.Duration

	// Calls counts the requests that a connection accepted.
	Calls uint64
	// Replies counts the replies returned to callers.
	Replies uint64
	// Canceled counts those of Calls whose contexts ended before the
	// reply, or that Config.CallTimeout ended.
	Canceled uint64
	// Late counts the replies that were dropped because the contexts of
	// their calls had ended, or because the calls had a reply already.
	Late uint64
	// Writes counts the system calls that wrote requests, approximately.
	// Calls/Writes is the average number of requests in one write.
	Writes uint64
	// BytesRead counts the bytes received on all connections.
	BytesRead uint64
	// BytesWritten counts the bytes sent on all connections.
	BytesWritten uint64

	// Dials counts the dials that have ended.
	Dials uint64
	// DialErrors counts those that failed.
	DialErrors uint64
	// DialTime is the sum of the times that dials took.
	DialTime time.Duration
	// LastDialError is the error of the last dial if it failed. It is nil once
	// a connection has brought a reply.
	LastDialError error

	// Ends counts the connections that have ended, by [Reason].
	Ends Ends
}

// Ends counts connections that have ended, by [Reason]:
// Stat.Ends[pipeline.Stalled].
type Ends [numReasons]uint64

// Total returns the number of connections that have ended.
func (e Ends) Total() (n uint64) {
	for _, v := range e {
		n += v
	}
	return n
}

// Reason says why a connection ended.
type Reason uint8

// The reasons. The zero Reason is none.
const (
	Broken      Reason = iota + 1 // an error of the network, other than:
	PeerClosed                    // the peer closed or reset it
	Protocol                      // an unsolicited, oversize or malformed frame came
	Stalled                       // see Config.StallTimeout
	Closed                        // Close or Shutdown was called
	Expired                       // see Config.MaxLifetime
	IdleTooLong                   // see Config.MaxIdleTime
	Goodbye                       // the peer sent Config.Goodbye
	Evicted                       // EvictConn was called
	numReasons
)

// String returns the reason in a few words.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "unknown"
}

var reasons = [numReasons]string{
	"none", "broken", "closed by peer", "protocol violated", "stalled", "pipeline closed",
	"expired", "idle too long", "goodbye", "evicted",
}

// counters count what happened on one connection, or on all that have ended.
type counters struct {
	calls, replies, cancelled, late, beats, flushes, read, written uint64
}

func (c *counters) add(d counters) {
	c.calls += d.calls
	c.replies += d.replies
	c.cancelled += d.cancelled
	c.late += d.late
	c.beats += d.beats
	c.flushes += d.flushes
	c.read += d.read
	c.written += d.written
}

// replied tells whether the peer has ever replied.
func (c *counters) replied() bool { return c.replies+c.late+c.beats > 0 }

// Stat returns a snapshot. It is cheap, but takes each connection's lock.
func (p *Pipeline) Stat() Stat {
	p.mu.Lock()
	s := Stat{Dials: p.dials, DialErrors: p.dialErrors, DialTime: p.dialTime, Ends: p.ends}
	sum := p.total
	s.Dialing = p.dialing != nil
	s.LastDialError = dialgate.Readable(p.lastErr)
	for _, c := range p.conns {
		c.mu.Lock()
		sum.add(c.count)
		if c.count.read == 0 { // not settled
			sum.read += c.nc.BytesRead()
			sum.written += c.nc.BytesWritten()
		}
		s.Abandoned += c.left - c.beats
		c.mu.Unlock()
	}
	s.Open = len(*p.live.Load())
	p.mu.Unlock()

	s.InFlight = int(p.permits.taken())
	s.Waiting = int(p.permits.waiting.Load())
	s.WaitTime = time.Duration(p.permits.waitTime.Load())
	s.Failed, s.Refused, s.Timeouts = p.failures.Load(), p.refused.Load(), p.timeouts.Load()
	s.Overloaded = p.overloaded.Load()
	s.Calls, s.Replies, s.Canceled = sum.calls, sum.replies, sum.cancelled
	s.Late, s.Writes = sum.late, sum.flushes
	s.BytesRead, s.BytesWritten = sum.read, sum.written
	s.SuspendedUntil, s.Suspended = p.gate.Suspended()
	if !s.Suspended {
		s.SuspendedUntil = time.Time{}
	}
	return s
}

// reasonOf returns the reason for an end with this cause.
func reasonOf(cause error) Reason {
	var size *framing.SizeError
	switch {
	case cause == ErrClosed:
		return Closed
	case cause == ErrStalled, cause == ErrNoHeartbeat, cause == errSurplus:
		return Stalled
	case cause == errExpired:
		return Expired
	case cause == errIdle:
		return IdleTooLong
	case cause == errEvicted:
		return Evicted
	case cause == ErrGoodbye:
		return Goodbye
	case cause == ErrUnsolicited, errors.Is(cause, conn.ErrUnread),
		errors.Is(cause, framing.ErrMalformed), errors.As(cause, &size):
		return Protocol
	case peerLeft(cause):
		return PeerClosed
	}
	return Broken
}
