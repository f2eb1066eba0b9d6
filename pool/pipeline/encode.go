package pipeline

import "github.com/seed-99d6a01a/gtcp/framing"

// encoder appends requests as frames. Those that follow each other mostly have
// one size, so it keeps the last header, where a header says no more than the
// size: to make one anew, format and all, takes longer than the rest.
type encoder struct {
	format framing.Format
	header []byte // of a request of size bytes; nil if none is kept
	size   int
}

// append appends the frame of a request to dst. On an error dst is returned as
// it was.
func (e *encoder) append(dst, request []byte) ([]byte, error) {
	if e.header != nil && e.size == len(request) {
		return append(append(dst, e.header...), request...), nil
	}
	frame, err := e.format.Append(dst, request)
	if err != nil {
		return dst, err
	}
	if e.format.Strip == 0 && e.format.LengthOffset == 0 {
		n := len(frame) - len(dst) - len(request)
		e.header = append(e.header[:0], frame[len(dst):len(dst)+n]...)
		e.size = len(request)
	}
	return frame, nil
}
