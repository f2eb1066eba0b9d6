package conn

// core.state holds the generation of the live handle, and marks in the bits
// below it. A mark says why the connection cannot be handed on; what rmu guards
// has no mark. A Conn keeps its generation in the same place, so a state that
// equals it belongs to that handle and has no mark.
//
// So Handoff is one compare-and-swap to the next generation, with rmu held, which
// excludes readers and buffered bytes. It is safe because everything else that a
// handle begins or leaves behind sets a mark first and removes it last, and a
// mark can be set only in the handle's own generation. Either the mark is first,
// and Handoff fails; or Handoff is first, and the mark fails before anything was
// done.
const (
	markWriting  uint64 = 1 << iota // a writer is at work; changed with wmu held
	markDoing                       // a Do is in progress; changed with mu held
	markHooking                     // OnClose is at work; changed with mu held
	markDeadline                    // a deadline of the caller's is set, or about to be; changed with mu held
	markLooping                     // a ReadLoop is in progress; changed with mu held
	markMid                         // a message is half read or half written
	markUnfit                       // an operation failed or timed out; never removed
	markTimedOut                    // one has timed out, so markUnfit is set too; never removed
	markAsleep                      // the connection sleeps; changed with all three locks held
	markClosed                      // Close has been called; set with mu held, never removed
	generation                      // the first; each is a multiple of it
)

// latest reports whether the state is that of c, which has not been handed on.
func (c *Conn) latest(state uint64) bool { return state&^(generation-1) == c.gen }

// live reports whether c is the handle of an open connection that does not sleep.
// With rmu held or a mark set, only Close can change the result.
func (c *Conn) live(k *core) bool {
	return k.state.Load()&^(generation-1-markClosed-markAsleep) == c.gen
}

// open reports whether c is the handle of an open connection, which may sleep.
func (c *Conn) open(k *core) bool { return k.state.Load()&^(generation-1-markClosed) == c.gen }

// mark sets a mark if c is the handle of an open connection that does not sleep.
func (c *Conn) mark(k *core, m uint64) bool { return c.markUnless(k, m, markClosed|markAsleep) }

// markUnless sets a mark if c is the handle of a connection without the marks of not.
func (c *Conn) markUnless(k *core, m, not uint64) bool {
	for {
		state := k.state.Load()
		if !c.latest(state) || state&not != 0 {
			return false
		}
		if state&m != 0 || k.state.CompareAndSwap(state, state|m) {
			return true
		}
	}
}

// unmark removes a mark.
func (k *core) unmark(m uint64) { k.state.And(^m) }

func (k *core) closed() bool { return k.state.Load()&markClosed != 0 }
