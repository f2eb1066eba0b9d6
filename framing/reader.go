package framing

import (
	"bufio"
	"fmt"
	"io"
)

// ownBufferSize is the read buffer of a Reader over a plain io.Reader: 16 KiB of
// payload fit it with their header. The allocator has blocks of this size.
const ownBufferSize = 18 << 10

// A PeekReader is a reader that gives access to its own buffer, as *conn.Conn and
// *bufio.Reader do. A Reader then needs no buffer, and reads frames without a
// copy. Peek must return what it has together with an error, and Peek(Buffered())
// must need no I/O. A slice from Peek must stay valid until the next call that
// reads; Discard of buffered bytes does not count.
//
// A Reader uses three optional methods. BufferSize() int or Size() int returns the
// most that Peek can return; without either, a frame that is not buffered yet is
// assembled in other memory. The Reader calls SetMidMessage(true) when it has
// taken bytes of an incomplete frame out of the buffer, and SetMidMessage(false)
// when that frame is complete. So a pool does not reuse the connection inside a
// frame.
type PeekReader interface {
	io.Reader
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
	Buffered() int
}

// A Reader reads frames from a stream. One goroutine at a time may use it.
//
// Errors. A bare io.EOF is the end of the stream between two frames;
// io.ErrUnexpectedEOF is its end inside one. After a timeout (an error whose
// Timeout method returns true) no byte is lost. Call again, and the Reader
// continues where it stopped, also inside a frame. An error of the underlying
// reader between two frames is returned unchanged, and the next call tries again.
// Every other error is final, and all later calls return it. That is so for an
// error inside a frame, a malformed frame ([ErrMalformed]) and an invalid Format
// (*[FormatError]). It is so for an oversize frame (*[SizeError]) too, unless the
// Format has SkipOversize. Err returns a final error.
//
// A Reader without a stream, such as the zero Reader, fails with an error that
// says so, until Reset gives it one.
//
// Memory. A Reader over a [PeekReader] has no buffer while it waits for a frame.
// A frame larger than the underlying buffer is assembled in memory that grows as
// its bytes arrive. The length in the header does not matter for that. Up to 16
// MiB that memory is used again for other frames. A stream that has brought such a
// frame gets memory for the next one at once, up to the size of the largest so far,
// if there is memory to use again.
type Reader struct {
	// Exclusive declares that nothing but this Reader reads from the
	// underlying reader. That makes runs of small frames cheaper: Next leaves
	// the bytes of the frames it returned in the underlying buffer until it
	// needs more. Before something else uses the underlying reader, or asks
	// it what is buffered, call [Reader.Release]. Without Exclusive the
	// underlying reader is exactly at the end of the last frame whenever no
	// call is in progress. Set it before the first call, and unset it only
	// after Release.
	Exclusive bool

	lay layout
	src PeekReader
	own *bufio.Reader // src, if the given reader is no PeekReader
	fit int           // the most src.Peek can return
	tag interface{ SetMidMessage(bool) }

	// win is the unread part of src's buffer. taken counts the bytes before it
	// that frames have used but that src still holds. They outlast a call only
	// if nothing else reads from src (see alone). Then a run of buffered frames
	// costs one Peek and one Discard, and win has all that src has buffered.
	win   []byte
	taken int

	// An open frame is one whose bytes are being taken out of src: skip more
	// to drop, then want more to deliver, part already collected.
	open      bool
	abandoned bool // the rest is to be dropped
	skip      int64
	want      int
	part      []byte
	box       *[]byte      // what part was kept in; nil if it is new
	proven    int          // the largest frame that was assembled here
	stream    *frameStream // the caller reads this frame itself
	head      [headSize]byte
	headed    int // bytes of head that the open frame began with

	err error // final
}

// NewReader returns a Reader of the frames of r. If r is a [PeekReader], the
// Reader uses its buffer; otherwise it has a buffer of its own, and may read more
// from r than it returns. If f does not validate, every later call fails with
// that error.
func NewReader(r io.Reader, f Format) *Reader {
	fr := new(Reader)
	if fr.err = fr.lay.compile(&f); fr.err != nil {
		fr.lay = layout{} // Next measures before it looks at err
	}
	fr.attach(r)
	return fr
}

// Err returns the error after which the Reader reads no more, or nil while it
// can go on. A server calls it after a *[SizeError]. That error is final even
// with SkipOversize if the frame is too long to be skipped.
func (r *Reader) Err() error {
	if r.err == nil && r.src == nil {
		return errNoSource
	}
	return r.err
}

// Reset makes the Reader read from src, in the same format. It forgets everything
// of the stream before, an unfinished frame and a final error included. A zero
// Reader has the zero Format. If src is nil, the Reader has no stream.
func (r *Reader) Reset(src io.Reader) {
	err := r.err
	if _, bad := err.(*FormatError); !bad {
		err = nil
		if r.lay == (layout{}) {
			err = r.lay.compile(&Format{})
		}
	}
	r.dropPart()
	*r = Reader{Exclusive: r.Exclusive, lay: r.lay, own: r.own, err: err}
	r.attach(src)
}

func (r *Reader) attach(src io.Reader) {
	var ok bool
	if src == nil {
		r.own = nil
		return
	}
	if r.src, ok = src.(PeekReader); ok {
		r.own = nil
	} else {
		if r.own == nil {
			r.own = bufio.NewReaderSize(src, ownBufferSize)
		} else {
			r.own.Reset(src)
		}
		r.src = r.own
	}
	switch s := r.src.(type) {
	case interface{ BufferSize() int }:
		r.fit = s.BufferSize()
	case interface{ Size() int }:
		r.fit = s.Size()
	}
	if want := r.lay.headerWant(0); r.err == nil && r.fit > 0 && r.fit < want {
		r.err = fmt.Errorf("framing: read buffer of %d bytes cannot hold a header of %d", r.fit, want)
	}
	r.tag, _ = r.src.(interface{ SetMidMessage(bool) })
}

// Next returns the next frame, without a copy if it fits the underlying buffer.
// The frame is valid until the next call of any method, and until the next read
// from the underlying reader.
func (r *Reader) Next() ([]byte, error) {
	if plain := r.lay.plain; plain != 0 {
		if end := r.lay.plainSize(r.win); end > 0 {
			frame := r.win[plain:end:end]
			r.win = r.win[end:]
			r.taken += end
			return frame, nil
		}
	}
	start, end, err := r.lay.measure(r.win)
	if end == 0 || end > len(r.win) || err != nil {
		return r.next()
	}
	frame := r.win[start:end:end]
	r.win = r.win[end:]
	r.taken += end
	return frame, nil
}

// next is Next for a frame that is not all in the window.
func (r *Reader) next() ([]byte, error) {
	if r.open || r.part == nil || r.stream != nil || r.err != nil { // else part may be used again
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	if !r.open {
		start, end, err := r.locate(r.fit)
		if err != nil {
			r.forget()
			return nil, err
		}
		if end <= len(r.win) {
			r.dropPart()
			return r.take(start, end)
		}
		r.reusePart(end - start)
		if err := r.openFrame(int64(start), end-start); err != nil {
			return nil, err
		}
	}
	if r.part == nil {
		r.part = []byte{} // grown as bytes come
	}
	if err := r.collect(); err != nil {
		return nil, err
	}
	r.closeFrame()
	return r.part, nil
}

// take consumes the frame at the front of the window.
func (r *Reader) take(start, end int) ([]byte, error) {
	frame := r.win[start:end:end]
	r.taken += end
	if r.alone() {
		r.win = r.win[end:]
		return frame, nil
	}
	if err := r.release(); err != nil {
		return nil, err
	}
	return frame, nil
}

// alone reports whether nobody else reads from src.
func (r *Reader) alone() bool { return r.own != nil || r.Exclusive }

// forget drops a window that is not valid after the call.
func (r *Reader) forget() {
	if r.taken == 0 {
		r.win = nil
	}
}

// ReadFrame appends the next frame to dst, and returns the extended slice.
//
// If a final error occurs inside a frame, after its header, ReadFrame appends the
// part that arrived and returns it with the error. The end of the stream is such
// an error. After a timeout it returns dst unchanged: the Reader keeps the part
// that arrived for the next call.
func (r *Reader) ReadFrame(dst []byte) ([]byte, error) {
	if start, end, err := r.lay.measure(r.win); err == nil && end > 0 && end <= len(r.win) {
		frame, err := r.take(start, end)
		return append(dst, frame...), err
	}
	if err := r.begin(); err != nil {
		return dst, err
	}
	if r.open {
		return r.resume(dst)
	}
	start, end, err := r.locate(min(r.fit, directSize))
	if err != nil {
		if r.err != nil && end > 0 && start < len(r.win) {
			dst = append(dst, r.win[start:]...)
		}
		r.forget()
		return dst, err
	}
	if end <= len(r.win) {
		frame, err := r.take(start, end)
		return append(dst, frame...), err
	}
	if err := r.openFrame(int64(start), end-start); err != nil {
		return dst, err
	}
	return r.readInto(dst)
}

// Buffered reports whether Next would return without a read from the stream.
// That is so if a whole frame is buffered, or if the buffered bytes are
// malformed. Buffered does no I/O. It is false while the rest of a frame is
// being skipped or assembled.
func (r *Reader) Buffered() bool {
	if r.failed() != nil {
		return true
	}
	if r.open {
		return false
	}
	r.look()
	_, end, err := r.lay.measure(r.win)
	whole := err != nil || end > 0 && end <= len(r.win)
	if !r.alone() {
		r.forget()
	}
	return whole
}

// Wait blocks until at least one byte of the next frame has arrived, and does not
// consume it. A server uses it to apply one timeout to the wait for a frame, and
// another one to the frame itself.
func (r *Reader) Wait() error {
	if len(r.win) > 0 {
		return nil
	}
	if err := r.begin(); err != nil || r.open {
		return err
	}
	if err := r.release(); err != nil {
		return err
	}
	_, err := r.src.Peek(1)
	return err
}

// Release ends the use of the frame that Next returned. It releases the memory
// that the frame was assembled in. With Exclusive it also puts the underlying
// reader exactly at the end of that frame.
func (r *Reader) Release() error {
	if r.src == nil {
		return r.failed()
	}
	if !r.open {
		r.dropPart()
	}
	return r.release()
}

// release discards in src what frames have used. If that fails, the position of
// src is unknown.
func (r *Reader) release() error {
	n := r.taken
	r.win, r.taken = nil, 0
	if n == 0 {
		return nil
	}
	_, err := r.src.Discard(n)
	if err != nil {
		r.err = err
	}
	return err
}

// failed returns the final error, if there is one.
func (r *Reader) failed() error {
	if r.err == nil && r.src == nil {
		return errNoSource
	}
	return r.err
}

// begin makes the Reader ready for the next frame, or for the rest of a frame
// that a timeout cut.
func (r *Reader) begin() error {
	if err := r.failed(); err != nil {
		return err
	}
	if !r.open {
		r.dropPart()
		r.stream = nil
		return nil
	}
	if r.stream != nil {
		r.stream, r.abandoned = nil, true
	}
	if !r.abandoned {
		return nil
	}
	r.dropPart()
	r.skip += int64(r.want)
	r.want = 0
	if err := r.drop(); err != nil {
		return err
	}
	r.closeFrame()
	return nil
}

// look sets the window to what is buffered in src, if the window is empty.
func (r *Reader) look() {
	if len(r.win) > 0 {
		return
	}
	if own := r.own; own != nil { // without the interface
		if n := own.Buffered(); n > r.taken {
			b, _ := own.Peek(n)
			r.win = b[r.taken:]
		}
		return
	}
	if n := r.src.Buffered() - r.taken; n > 0 {
		b, _ := r.src.Peek(r.taken + n)
		r.win = b[min(r.taken, len(b)):]
	}
}

// locate measures the next frame. If it has at most fit bytes on the wire, locate
// waits until all of it is in the window. On an error inside the frame, end is 0
// if the header is not known.
func (r *Reader) locate(fit int) (start, end int, err error) {
	for {
		r.look()
		start, end, err = r.lay.measure(r.win)
		if err != nil {
			return 0, 0, r.refuse(err)
		}
		want := end
		if end == 0 {
			want = r.lay.headerWant(len(r.win))
		} else if end <= len(r.win) || end > fit {
			return start, end, nil
		}
		if err := r.release(); err != nil {
			return 0, 0, err
		}
		r.dropPart()
		_, err = r.src.Peek(want)
		r.look()
		if len(r.win) < want {
			if err == nil {
				err = io.ErrNoProgress
			}
			return start, end, r.cut(err)
		}
	}
}

// cut makes the error that the Reader returns from an error of src.
func (r *Reader) cut(err error) error {
	if timedOut(err) || !r.open && len(r.win) == 0 {
		return err
	}
	r.err = inside(err)
	return r.err
}

// refuse makes the error of a bad header final, or begins to skip an oversize
// frame.
func (r *Reader) refuse(err error) error {
	size, ok := err.(*SizeError)
	if ok {
		size.hint = hint(r.win[:min(len(r.win), headSize)])
	}
	if !ok || !r.lay.skip || size.wire == 0 {
		if rerr := r.release(); rerr != nil {
			return rerr
		}
		r.err = err
		return err
	}
	if rerr := r.openFrame(size.wire, 0); rerr != nil {
		return rerr
	}
	r.abandoned = true
	return err
}
