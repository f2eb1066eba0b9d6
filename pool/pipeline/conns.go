package pipeline

import (
	"iter"
	"net"
	"slices"
	"time"
)

// ConnStat is a snapshot of one connection of a pipeline.
type ConnStat struct {
	// ID is the number of the connection, the same in all events.
	ID uint64
	// LocalAddr is the address on this side.
	LocalAddr net.Addr
	// RemoteAddr is the address of the peer.
	RemoteAddr net.Addr
	// CreatedAt is when its dial began.
	CreatedAt time.Time
	// ExpiresAt is when its lifetime ends. It is zero if nothing bounds that.
	ExpiresAt time.Time
	// LastUsed is when it last had a call, accurate to 1 second.
	LastUsed time.Time
	// InFlight counts the requests without a reply, including those whose
	// callers have given up.
	InFlight int
	// Abandoned counts those of InFlight whose callers have given up.
	Abandoned int
	// Silent reports whether new calls go to other connections because this
	// one has calls in flight and has received nothing for some time.
	Silent bool
	// Leaving reports whether it takes no new calls and ends after the last
	// call in flight.
	Leaving bool
	// Calls counts the requests that it accepted.
	Calls uint64
	// Replies counts the replies that were returned to callers.
	Replies uint64
	// BytesRead counts the bytes received over its life.
	BytesRead uint64
	// BytesWritten counts the bytes sent over its life.
	BytesWritten uint64
}

// Conns returns the connections of the pipeline, in the order of their numbers.
// The pipeline is not locked during the iteration, so the snapshots are not all
// from the same moment.
func (p *Pipeline) Conns() iter.Seq[ConnStat] {
	return func(yield func(ConnStat) bool) {
		for _, s := range p.all() {
			if !yield(s.stat()) {
				return
			}
		}
	}
}

// EvictConn takes the connection with the given number out of use. It gets no new
// calls, and is closed after the last reply that a caller waits for. Its reason is
// Evicted. The next call dials another connection if none is left. EvictConn
// reports whether the pipeline has such a connection. It does not wait.
func (p *Pipeline) EvictConn(id uint64) bool {
	for _, s := range p.all() {
		if s.id == id {
			s.retire(errEvicted)
			return true
		}
	}
	return false
}

// all returns the connections, in the order of their numbers: one dial at a time makes
// them.
func (p *Pipeline) all() []*sharedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

func (s *sharedConn) stat() ConnStat {
	c := ConnStat{
		ID: s.id, LocalAddr: s.nc.LocalAddr(), RemoteAddr: s.nc.RemoteAddr(),
		CreatedAt: s.begun, Silent: s.suspect.Load(),
		BytesRead: s.nc.BytesRead(), BytesWritten: s.nc.BytesWritten(),
	}
	if s.lifetime > 0 {
		c.ExpiresAt = s.begun.Add(s.lifetime)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.LastUsed = s.usedAt.wall
	if seen := s.usedSeen.Load(); seen > c.LastUsed.UnixNano() {
		c.LastUsed = time.Unix(0, seen)
	}
	c.InFlight, c.Abandoned = s.queue.len()-s.beats, s.left-s.beats
	c.Leaving = s.leaving != nil || s.broken != nil || s.err != nil
	c.Calls, c.Replies = s.count.calls, s.count.replies
	return c
}
