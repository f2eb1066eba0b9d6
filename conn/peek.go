package conn

// Peek returns the next n bytes without reading past them, waiting until they
// have come. The slice is the connection's own buffer: it is valid until the
// next call that reads (Discard is not one) or Handoff. With an error it returns what is there, which may be less than n;
// nothing is lost and the call can be repeated. n must not be larger than
// BufferSize.
func (c *Conn) Peek(n int) ([]byte, error) {
	k, err := c.beginRead()
	if err != nil {
		return nil, err
	}
	defer k.endRead()
	if n < 0 {
		return nil, k.error("read", ErrNegativeCount)
	}
	for k.w-k.r < n && k.w-k.r < largeBuffer {
		if _, err := k.receive(nil); err != nil {
			err = k.readError(err)
			k.peeked = k.w > k.r
			return k.buf[k.r:k.w], err
		}
	}
	k.peeked = k.w > k.r
	if n > largeBuffer {
		return k.buf[k.r:k.w], k.error("read", ErrBufferFull)
	}
	return k.buf[k.r : k.r+n : k.r+n], nil
}

// Discard skips the next n bytes, waiting for those that are not buffered.
// If it skips fewer than n it says how many and why. Skipping buffered bytes
// leaves slices from Peek valid.
func (c *Conn) Discard(n int) (int, error) {
	k, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	defer k.endRead()
	if n < 0 {
		return 0, k.error("read", ErrNegativeCount)
	}
	left := n
	for {
		skip := min(left, k.w-k.r)
		k.r += skip
		left -= skip
		if left == 0 {
			return n, nil
		}
		if _, err := k.receive(nil); err != nil {
			return n - left, k.readError(err)
		}
	}
}

// Buffered returns how many bytes can be read without touching the transport.
// It never waits; during a read by another goroutine it is the number from
// before that read.
func (c *Conn) Buffered() int {
	if c.core == nil || !c.live(c.core) {
		return 0
	}
	return int(c.core.avail.Load())
}

// BufferSize returns the most that Peek can return, in bytes.
func (c *Conn) BufferSize() int { return largeBuffer }
