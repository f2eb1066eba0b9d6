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
	Conns     int // connections open
	Dialing   bool
	InFlight  int // requests accepted and not answered, abandoned ones included
	Abandoned int // of those, the ones whose callers have given up
	Waiting   int // callers that wait because MaxInFlight is reached

	Calls     uint64 // requests accepted by a connection
	Replies   uint64 // replies handed to their callers
	Cancelled uint64 // calls whose callers gave up
	Late      uint64 // replies dropped because their callers had given up
	Writes    uint64 // system calls, about: Calls/Writes requests went in one

	Dials       uint64
	DialErrors  uint64
	DialTime    time.Duration // sum over all dials
	LastDialErr error         // why calls fail at once; nil when they do not

	// Ended connections by cause.
	EndedByPeer     uint64 // closed or reset by the peer
	EndedByError    uint64 // any other error of the network
	EndedByProtocol uint64 // unsolicited, oversize or malformed frames
	EndedByStall    uint64 // see Config.StallTimeout
	EndedByClose    uint64 // by Close
}

// counters count what happened on one link, or on all that have ended.
type counters struct {
	calls, replies, cancelled, late, flushes uint64
}

func (c *counters) add(d counters) {
	c.calls += d.calls
	c.replies += d.replies
	c.cancelled += d.cancelled
	c.late += d.late
	c.flushes += d.flushes
}

// Stat returns a snapshot. It is cheap, but takes each connection's lock.
func (p *Pipeline) Stat() Stat {
	p.mu.Lock()
	s := p.ended // a copy: totals of the links that have ended
	sum := p.total
	s.Dialing = p.dialing != nil
	s.LastDialErr = p.lastErr
	for l := range p.links {
		l.mu.Lock()
		sum.add(l.count)
		s.Abandoned += l.left
		l.mu.Unlock()
	}
	s.Conns = len(*p.live.Load())
	p.mu.Unlock()

	s.InFlight = int(p.gate.permits())
	s.Waiting = int(p.gate.waiting.Load())
	s.Calls, s.Replies, s.Cancelled = sum.calls, sum.replies, sum.cancelled
	s.Late, s.Writes = sum.late, sum.flushes
	return s
}

// countEnd counts a link's end by its cause.
func (s *Stat) countEnd(cause error) {
	switch {
	case cause == ErrClosed:
		s.EndedByClose++
	case cause == ErrStalled:
		s.EndedByStall++
	case isProtocol(cause):
		s.EndedByProtocol++
	case peerLeft(cause):
		s.EndedByPeer++
	default:
		s.EndedByError++
	}
}

// isProtocol tells whether a link ended because of what the peer sent.
func isProtocol(err error) bool {
	var size *framing.SizeError
	return err == ErrUnsolicited || errors.Is(err, conn.ErrUnread) ||
		errors.Is(err, framing.ErrMalformed) || errors.As(err, &size)
}
