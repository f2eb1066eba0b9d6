package framing

import (
	"bufio"
	"fmt"
	"io"
)

// ownBufferSize is the read buffer of a Reader over a plain io.Reader.
const ownBufferSize = 16 << 10

// A PeekReader is a reader that lends its own buffer: *conn.Conn and
// *bufio.Reader are. A Reader then needs none, and frames are read without a
// copy. Peek must return what it has along with an error, and must serve
// Peek(Buffered()) without I/O; a slice it returned must stay valid until the
// next call that reads, with Discard of buffered bytes not counted.
//
// Three optional methods are used where they exist. BufferSize() int or
// Size() int tell the most Peek can return; without either, a frame that is
// not yet buffered is assembled outside. SetMidMessage(bool) is told when bytes of
// an unfinished frame have been taken out of the buffer, and when that frame
// is finished, so that a pool does not lend the connection again in between.
type PeekReader interface {
	io.Reader
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
	Buffered() int
}

// A Reader reads frames from a stream. One goroutine at a time may use it.
//
// Errors. io.EOF, bare, is the end of the stream between two frames;
// io.ErrUnexpectedEOF is its end inside one. A timeout (an error whose Timeout
// method says true) loses nothing: call again to go on where the stream
// stopped, within a frame too. An error of the underlying reader between two
// frames is returned as it is and the next call tries again. Every other error
// is final and is returned by all later calls: an error inside a frame, a
// malformed frame ([ErrMalformed]), an oversize one (*[SizeError]) unless the
// Format says SkipOversize, and a Format that does not validate
// (*[FormatError]).
//
// A Reader without a stream, such as the zero Reader, fails with an error that
// says so, until Reset gives it one.
//
// Memory. A Reader over a [PeekReader] has no buffer while it waits for a
// frame. A frame larger than the underlying buffer is assembled in memory that
// grows as its bytes arrive, whatever its header promises.
type Reader struct {
	// Exclusive says that nothing but this Reader reads from the underlying
	// reader, which makes runs of small frames cheaper: Next then leaves the
	// bytes of the frames it returned in the underlying buffer until it needs
	// more. Call [Reader.Release] to make the underlying reader exact again,
	// before giving it away or asking it what is buffered. Without Exclusive
	// it is exactly at the end of the last frame whenever no call is running.
	// Set it before the first call; unset it only after Release.
	Exclusive bool

	lay layout
	src PeekReader
	own *bufio.Reader // src, when the given reader is no PeekReader
	fit int           // the most src.Peek can return
	tag interface{ SetMidMessage(bool) }

	// win is the unread part of src's buffer and taken the bytes before it
	// that frames have used but src still holds. They outlast a call only
	// where nobody else reads from src (see alone): then a run of buffered
	// frames costs one Peek and one Discard, and all that src has buffered is
	// in win.
	win   []byte
	taken int

	// An open frame is one whose bytes are being taken out of src: skip more
	// to drop, then want more to deliver, part already collected.
	open      bool
	abandoned bool // the rest is to be dropped
	skip      int64
	want      int
	part      []byte
	stream    *frameStream // the caller reads this frame itself

	err error // final
}

// NewReader returns a Reader of the frames of r. It reads through r's own
// buffer where r is a [PeekReader]; otherwise it buffers for itself and may
// read more than it returns. A format that does not validate is the error of
// every later call.
func NewReader(r io.Reader, f Format) *Reader {
	fr := new(Reader)
	if fr.err = fr.lay.compile(&f); fr.err != nil {
		fr.lay = layout{} // Next measures before it looks at err
	}
	fr.attach(r)
	return fr
}

// Err returns the error after which the Reader reads no more, or nil while it
// can go on. A server asks it after a *[SizeError], which is final even with
// SkipOversize if the frame is longer than any number of bytes that can be
// skipped.
func (r *Reader) Err() error {
	if r.err == nil && r.src == nil {
		return errNoSource
	}
	return r.err
}

// Reset forgets everything of the present stream, an unfinished frame and a
// final error included, and goes on with src in the same format. That of a zero
// Reader is the zero Format. A nil src leaves it without a stream.
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

// Next returns the next frame. It is valid until the next call of any method
// and the next read from the underlying reader: where the frame fits that
// reader's buffer it is a part of it.
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
	if err := r.begin(); err != nil {
		return nil, err
	}
	if !r.open {
		start, end, err := r.locate(r.fit)
		if err != nil {
			r.forget()
			return nil, err
		}
		if end <= len(r.win) {
			return r.take(start, end)
		}
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

// forget drops a window that must not outlast the call.
func (r *Reader) forget() {
	if r.taken == 0 {
		r.win = nil
	}
}

// ReadFrame appends the next frame to dst and returns the extended slice.
//
// When a frame is cut by a final error behind its header (its stream ends,
// say), what came of it is appended and returned along with the error. After a
// timeout dst is returned as it was: the Reader keeps what came, for the next
// call.
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

// Buffered reports, without I/O, whether Next would return without waiting for
// the stream: a whole frame is buffered (or what is buffered is in error).
// Within the rest of a frame that is being skipped or assembled it says false.
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

// Wait blocks until at least one byte of the next frame has arrived, without
// taking it: the place to apply an idle timeout before the one for a frame.
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

// Release ends the use of the frame that Next returned, gives back the memory
// it was assembled in, and with Exclusive set leaves the underlying reader
// exactly at the end of that frame.
func (r *Reader) Release() error {
	if r.src == nil {
		return r.failed()
	}
	if !r.open {
		r.dropPart()
	}
	return r.release()
}

// release gives the window back to src. Failing that, where src stands is
// unknown.
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

// look shows what is buffered in src, if the window shows nothing.
func (r *Reader) look() {
	if len(r.win) > 0 {
		return
	}
	if n := r.src.Buffered() - r.taken; n > 0 {
		b, _ := r.src.Peek(r.taken + n)
		r.win = b[min(r.taken, len(b)):]
	}
}

// locate measures the next frame and, when it has no more than fit bytes on
// the wire, waits until all of it is in the window. On an error inside the
// frame, end is 0 if its header is not known.
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

// cut decides what an error of src means where it struck.
func (r *Reader) cut(err error) error {
	if timedOut(err) || !r.open && len(r.win) == 0 {
		return err
	}
	r.err = inside(err)
	return r.err
}

// refuse makes the error of a bad header final, or opens the oversize frame
// for skipping.
func (r *Reader) refuse(err error) error {
	size, ok := err.(*SizeError)
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
