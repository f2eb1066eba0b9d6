package gtcp

import "sync/atomic"

// oneWayAfter is how many connections to an address must have been sent to,
// and closed without a receive, before the next is kept.
const oneWayAfter = 16

// oneWay is what is known of an address to which callers may only send. A
// connection that was sent to and has brought nothing is closed at the end of
// its checkout, since its reply may be under way. A program that only sends
// would dial for each message then. So such connections are kept after the
// first oneWayAfter, for as long as nobody has tried to receive from the
// address and no byte has come from it. The first attempt to receive ends that
// for good and closes what was kept.
type oneWay struct {
	keepUnanswered bool        // always, by PoolOptions.KeepUnanswered
	replies        atomic.Bool // somebody has tried to receive, or unread bytes were found
	unanswered     atomic.Int32
	kept           atomic.Bool // a connection may have been kept
}

// keepsUnanswered says whether a connection that was sent to, and has brought
// nothing since, is kept.
func (p *addressPool) keepsUnanswered() bool {
	switch {
	case p.keepUnanswered:
		return true
	case p.replies.Load():
		return false
	case p.unanswered.Load() < oneWayAfter:
		p.unanswered.Add(1)
		return false
	}
	// Either this sees a receive that begins now, or that sees this.
	if !p.kept.Load() {
		p.kept.Store(true)
	}
	return !p.replies.Load()
}

// expectReplies notes that the address replies.
func (p *addressPool) expectReplies() {
	if p.replies.Load() || p.replies.Swap(true) {
		return
	}
	if p.kept.Load() {
		p.pool.Clear()
	}
}
