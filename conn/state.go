package conn

// core.state is the generation of the live handle with marks below it: what a
// connection must be free of to be another's, as far as rmu does not guard it.
// A Conn keeps its generation in the same place, so a state that equals it is
// that handle's with no mark.
//
// So Handoff is one compare-and-swap from that to the next generation, under
// rmu to have no reader and no byte buffered. It is safe because whatever else
// a handle begins or leaves behind is announced first, by a mark that mark
// sets only in the handle's own generation, and taken off last. Either the
// mark comes first, and Handoff fails; or Handoff does, and the mark fails
// and whoever wanted it has touched nothing.
const (
	markWriting  uint64 = 1 << iota // a writer is at work; changed with wmu held
	markDoing                       // a Do is in progress; changed with mu held
	markHooking                     // OnClose is at work; changed with mu held
	markDeadline                    // a deadline of the caller's is set, or about to be; changed with mu held
	markMid                         // a message is half read or half written
	markUnfit                       // an operation failed or timed out; never taken off
	markClosed                      // Close has been called; set with mu held, never taken off
	generation                      // the first; each is a multiple of it
)

// latest reports whether c has not been handed on, by a state.
func (c *Conn) latest(state uint64) bool { return state&^(generation-1) == c.gen }

// live reports whether c is the handle of an open connection. Under rmu or a
// mark the answer can be relied on, but for Close.
func (c *Conn) live(k *core) bool { return k.state.Load()&^(generation-1-markClosed) == c.gen }

// mark sets a mark if c is the handle of an open connection.
func (c *Conn) mark(k *core, m uint64) bool {
	for {
		state := k.state.Load()
		if !c.latest(state) || state&markClosed != 0 {
			return false
		}
		if state&m != 0 || k.state.CompareAndSwap(state, state|m) {
			return true
		}
	}
}

// unmark takes off a mark that has kept the connection from being handed on.
func (k *core) unmark(m uint64) { k.state.And(^m) }

func (k *core) closed() bool { return k.state.Load()&markClosed != 0 }
