package memnet

// ring is a bounded FIFO of bytes. Its memory grows to max only as it is used.
type ring struct {
	buf   []byte
	start int // index of the oldest byte
	n     int // bytes held
	max   int
}

// write takes as many bytes of p as fit and says how many.
func (r *ring) write(p []byte) int {
	p = p[:min(len(p), r.max-r.n)]
	if need := r.n + len(p); need > len(r.buf) {
		r.grow(min(max(need, 2*len(r.buf), 512), r.max))
	}
	if len(p) == 0 {
		return 0
	}
	end := (r.start + r.n) % len(r.buf)
	k := copy(r.buf[end:], p)
	copy(r.buf, p[k:])
	r.n += len(p)
	return len(p)
}

// read moves up to len(p) of the oldest bytes to p and says how many.
func (r *ring) read(p []byte) int {
	p = p[:min(len(p), r.n)]
	if len(p) == 0 {
		return 0
	}
	k := copy(p, r.buf[r.start:])
	copy(p[k:], r.buf)
	r.start = (r.start + len(p)) % len(r.buf)
	r.n -= len(p)
	return len(p)
}

func (r *ring) grow(size int) {
	buf := make([]byte, size)
	k := copy(buf, r.buf[r.start:min(r.start+r.n, len(r.buf))])
	copy(buf[k:], r.buf[:r.n-k])
	r.buf, r.start = buf, 0
}

func (r *ring) drop() { r.buf, r.start, r.n = nil, 0, 0 }
