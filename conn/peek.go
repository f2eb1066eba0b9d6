package conn

// Peek waits for the next n bytes and returns them without consuming them. The
// slice is in the connection's own buffer. It is valid until Handoff or the next
// call that reads. Discard of buffered bytes is not such a call. With an error
// it returns the bytes that are there, which may be fewer than n; nothing is
// lost, and the call can be repeated. n must not be larger than BufferSize.
func (c *Conn) Peek(n int) ([]byte, error) {
	k, err := c.beginRead()
	if err != nil {
		return nil, err
	}
	err = k.fillTo(n)
	b := k.unread()
	k.peeked = len(b) > 0
	k.endRead()
	if err != nil {
		return b, err
	}
	if uint(n) > uint(len(b)) {
		return b, k.peekError(n)
	}
	return b[:n:n], nil
}

// fillTo reads until n bytes are buffered, or as many as fit.
func (k *core) fillTo(n int) error {
	for {
		if have := len(k.unread()); have >= n || have >= largeBuffer {
			return nil
		}
		if err := k.fill(); err != nil {
			return k.readError(err)
		}
	}
}

func (k *core) peekError(n int) error {
	if n < 0 {
		return k.error("read", ErrNegativeCount)
	}
	return k.error("read", ErrBufferFull)
}

// Discard skips the next n bytes. It waits for bytes that are not buffered yet.
// If it skips fewer than n, it returns the number and the error. Slices from
// Peek stay valid if all n bytes were buffered.
func (c *Conn) Discard(n int) (int, error) {
	k, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	left := n
	for err == nil {
		skip := max(0, min(left, len(k.unread())))
		k.consume(skip)
		left -= skip
		if left <= 0 {
			break
		}
		if err = k.fill(); err != nil {
			err = k.readError(err)
		}
	}
	k.endRead()
	if n < 0 {
		return 0, k.error("read", ErrNegativeCount)
	}
	return n - left, err
}

// Buffered returns how many bytes can be read without using the transport. It
// never waits. During a read by another goroutine it returns the number from
// before that read.
func (c *Conn) Buffered() int {
	if c.core == nil || !c.live(c.core) {
		return 0
	}
	return int(c.core.avail.Load())
}

// BufferSize returns how many bytes Peek can return at most: 65,536.
func (c *Conn) BufferSize() int { return largeBuffer }
