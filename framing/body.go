package framing

import (
	"io"
	"math"
	"slices"
)

const (
	// A frame up to directSize is read through src's buffer, so that what
	// follows it comes with the same system call. A larger frame that is not
	// all there is read by ReadFrame directly into the caller's memory.
	directSize = 4 << 10

	// New memory for a frame is taken at once up to trustedSize, and from then
	// on only in proportion to what has arrived, starting with firstChunk.
	trustedSize = 64 << 10
	firstChunk  = 16 << 10

	// maxIdleReads is how many reads in a row may bring nothing.
	maxIdleReads = 100
)

// openFrame begins to take the next frame out of src. What is to skip of the window
// goes with what earlier frames have used of it.
func (r *Reader) openFrame(skip int64, want int) error {
	r.noteHead()
	if r.tag != nil {
		r.tag.SetMidMessage(true)
	}
	seen := int(min(skip, int64(len(r.win))))
	r.taken += seen
	if err := r.release(); err != nil {
		return err
	}
	r.open, r.skip, r.want = true, skip-int64(seen), want
	return nil
}

func (r *Reader) closeFrame() {
	r.open, r.abandoned = false, false
	if r.tag != nil {
		r.tag.SetMidMessage(false)
	}
}

// drop discards the bytes of the open frame that are not returned.
func (r *Reader) drop() error {
	for idle := 0; r.skip > 0; idle++ {
		n, err := r.src.Discard(int(min(r.skip, math.MaxInt32)))
		r.skip -= int64(n)
		if n > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil && r.skip > 0 {
			return r.cut(err)
		}
	}
	return nil
}

// pull appends the rest of the open frame to dst, which is part or the caller's.
func (r *Reader) pull(dst []byte, part bool) ([]byte, error) {
	if r.skip > 0 {
		if err := r.drop(); err != nil {
			return dst, err
		}
	}
	got := 0
	for idle := 0; r.want > 0; idle++ {
		if len(dst) == cap(dst) {
			if part {
				dst = r.growPart(dst, r.want, r.src.Buffered())
			} else {
				dst = slices.Grow(dst, r.chunk(got))
			}
		}
		room := dst[len(dst) : len(dst)+min(cap(dst)-len(dst), r.want)]
		n, err := r.src.Read(room)
		dst = dst[:len(dst)+n]
		r.want -= n
		got += n
		if n > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil && r.want > 0 {
			return dst, r.cut(err)
		}
	}
	return dst, nil
}

// chunk returns how much memory to add for a frame of which got bytes have come.
func (r *Reader) chunk(got int) int {
	if got == 0 && r.want <= trustedSize {
		return r.want
	}
	return min(r.want, max(firstChunk, got))
}

// collect assembles the open frame in part.
func (r *Reader) collect() (err error) {
	r.part, err = r.pull(r.part, true)
	if err == nil {
		r.proven = max(r.proven, len(r.part))
	}
	return err
}

// resume completes for ReadFrame a frame that a timeout cut.
func (r *Reader) resume(dst []byte) ([]byte, error) {
	if len(r.part) == 0 {
		return r.readInto(dst)
	}
	err := r.collect()
	if err == nil {
		r.closeFrame()
	} else if r.err == nil {
		return dst, err
	}
	dst = append(dst, r.part...)
	r.dropPart()
	return dst, err
}

// readInto appends the open frame to dst. What came before a timeout goes to
// part, and the frame is assembled there from then on, so that a caller that
// polls does not copy it again each time.
func (r *Reader) readInto(dst []byte) ([]byte, error) {
	n := len(dst)
	dst, err := r.pull(dst, false)
	switch {
	case err == nil:
		r.closeFrame()
	case r.err == nil:
		if r.part == nil {
			r.part = []byte{}
		}
		r.part = append(r.growPart(r.part, len(dst)-n, len(dst)-n), dst[n:]...)
		dst = dst[:n]
	}
	return dst, err
}

// Stream returns a reader of the bytes of the next frame, and their number, as
// soon as the header has arrived. It is for frames that are too large to hold in
// memory. The reader returns io.EOF after the last byte, and otherwise the errors
// that Reader documents. After a timeout it can continue.
//
// The next call for a frame ends the stream. It first waits for the bytes that
// the caller left unread, and drops them. MaxSize bounds streamed frames too.
func (r *Reader) Stream() (io.Reader, int64, error) {
	if err := r.begin(); err != nil {
		return nil, 0, err
	}
	if !r.open {
		start, end, err := r.locate(0)
		if err != nil {
			r.forget()
			return nil, 0, err
		}
		if err := r.openFrame(int64(start), end-start); err != nil {
			return nil, 0, err
		}
	}
	s := &frameStream{r: r, part: r.part}
	size := int64(len(r.part)) + int64(r.want)
	r.stream = s
	if size == 0 && r.skip == 0 {
		r.closeFrame()
		s.done = true
	}
	return s, size, nil
}

// A frameStream reads one frame of a Reader.
type frameStream struct {
	r    *Reader
	part []byte // came before a timeout cut an earlier call
	done bool
}

func (s *frameStream) Read(p []byte) (int, error) {
	r := s.r
	if s.done {
		return 0, io.EOF
	}
	if r.stream != s {
		return 0, errStreamEnded
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.drop(); err != nil {
		return 0, err
	}
	n := copy(p, s.part)
	s.part = s.part[n:]
	var err error
	if n == 0 && r.want > 0 {
		n, err = r.src.Read(p[:min(len(p), r.want)])
		r.want -= n
	}
	if r.want == 0 && len(s.part) == 0 {
		s.done = true
		r.closeFrame()
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	if err != nil {
		err = r.cut(err)
	}
	return n, err
}
