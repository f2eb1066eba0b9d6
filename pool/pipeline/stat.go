package pipeline

import (
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// Stat is a snapshot of a pipeline: what is now, and what has been since it
// was made.
type Stat struct {
	Open      int // connections
	Dialing   bool
	InFlight  int // requests accepted and not answered, abandoned ones included
	Abandoned int // of those, the ones whose callers have given up
	Waiting   int // callers that wait because MaxInFlight is reached

	Failed   uint64        // calls that returned an error other than their context's
	Refused  uint64        // of Failed, those beyond MaxWaiters
	Timeouts uint64        // calls whose context's deadline passed
	WaitTime time.Duration // sum over all waits because MaxInFlight was reached

	Calls    uint64 // requests accepted by a connection
	Replies  uint64 // replies handed to their callers
	Canceled uint64 // of Calls, those whose callers gave up
	Late     uint64 // replies dropped because their callers had given up
	Writes   uint64 // system calls, about: Calls/Writes requests went in one

	Dials         uint64
	DialErrors    uint64
	DialTime      time.Duration // sum over all dials
	LastDialError error         // of the last dial if it failed; nil once a connection answers

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
	"expired", "idle too long", "goodbye",
}

// counters count what happened on one link, or on all that have ended.
type counters struct {
	calls, replies, cancelled, late, beats, flushes uint64
}

func (c *counters) add(d counters) {
	c.calls += d.calls
	c.replies += d.replies
	c.cancelled += d.cancelled
	c.late += d.late
	c.beats += d.beats
	c.flushes += d.flushes
}

// replied tells whether the peer has ever replied.
func (c *counters) replied() bool { return c.replies+c.late+c.beats > 0 }

// Stat returns a snapshot. It is cheap, but takes each connection's lock.
func (p *Pipeline) Stat() Stat {
	p.mu.Lock()
	s := Stat{Dials: p.dials, DialErrors: p.dialErrors, DialTime: p.dialTime, Ends: p.ends}
	sum := p.total
	s.Dialing = p.dialing != nil
	s.LastDialError = p.lastErr
	for c := range p.conns {
		c.mu.Lock()
		sum.add(c.count)
		s.Abandoned += c.left - c.beats
		c.mu.Unlock()
	}
	s.Open = len(*p.live.Load())
	p.mu.Unlock()

	s.InFlight = int(p.permits.taken())
	s.Waiting = int(p.permits.waiting.Load())
	s.WaitTime = time.Duration(p.permits.waitTime.Load())
	s.Failed, s.Refused, s.Timeouts = p.failures.Load(), p.refused.Load(), p.timeouts.Load()
	s.Calls, s.Replies, s.Canceled = sum.calls, sum.replies, sum.cancelled
	s.Late, s.Writes = sum.late, sum.flushes
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
