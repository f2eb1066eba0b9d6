package server

// errPause is what input returns instead of waiting for the peer. It calls itself
// a timeout, since to a framing.Reader it is one: nothing is lost.
var errPause error = pauseError{}

type pauseError struct{}

func (pauseError) Error() string { return "server: about to wait for the peer" }
func (pauseError) Timeout() bool { return true }

// input is the framing.PeekReader of an exchange. It waits for the peer only for
// the rest of a request that has begun, after a pause in which the exchange has
// written what the peer may be waiting for.
type input struct{ x *exchange }

// mayWait reports whether a read may wait for the peer.
func (in input) mayWait() bool { return in.x.partial && !in.x.looping }

// Peek is part of framing.PeekReader. A Reader asks it for the start of a frame, so
// with nothing buffered it is between two, and an oversize frame has been skipped.
func (in input) Peek(n int) ([]byte, error) {
	c := in.x.sess.conn
	if in.x.skipping { // the next request has its own time
		in.x.skipping, in.x.partial = false, false
		in.x.sess.readDue.Store(notDue)
	}
	if have := c.Buffered(); have == 0 || have < n && !in.mayWait() {
		in.x.empty = have == 0
		return nil, errPause
	}
	return c.Peek(n)
}

// Read is part of framing.PeekReader. A Reader uses it within a frame.
func (in input) Read(p []byte) (int, error) {
	if !in.mayWait() {
		in.x.large = true
		return 0, errPause
	}
	return in.x.sess.conn.Read(p)
}

// Discard is part of framing.PeekReader. A Reader uses it for what it has peeked,
// and within a frame that it skips.
func (in input) Discard(n int) (int, error) {
	c := in.x.sess.conn
	if c.Buffered() < n && !in.mayWait() && c.Err() == nil {
		in.x.large = true
		return 0, errPause // not once the connection is over: a Reader would keep that error
	}
	return c.Discard(n)
}

// Buffered is part of framing.PeekReader.
func (in input) Buffered() int { return in.x.sess.conn.Buffered() }

// BufferSize tells a framing.Reader the most that Peek can return.
func (in input) BufferSize() int { return in.x.sess.conn.BufferSize() }

// output is the io.Writer of an exchange: the connection under a write timeout.
type output struct{ x *exchange }

// Write is part of io.Writer.
func (o output) Write(b []byte) (int, error) {
	s := o.x.sess
	s.writeDue.Store(s.srv.clock.after(o.x.writeTimeout))
	var n int
	var err error
	if o.x.direct != nil {
		n, err = o.x.direct.Write(b)
	} else {
		n, err = s.conn.Write(b)
	}
	if s.writeDue.Swap(notDue) == overdue {
		err = late(err)
	}
	return n, err
}

// WriteBuffers is what framing.Writer sends a large frame with.
func (o output) WriteBuffers(b [][]byte) (int64, error) {
	s := o.x.sess
	s.writeDue.Store(s.srv.clock.after(o.x.writeTimeout))
	n, err := s.conn.WriteBuffers(b)
	if s.writeDue.Swap(notDue) == overdue {
		err = late(err)
	}
	return n, err
}
