package gtcp

import (
	"bytes"
	"errors"
)

// outgoing is a message on its way out: what is left of it to write.
type outgoing struct {
	s    *stream
	pkg  *pkgHeader // nil: there is no header
	body []byte
}

func (o outgoing) left() int {
	if o.pkg == nil {
		return len(o.body)
	}
	return len(o.pkg.left) + len(o.body)
}

// write makes one write of what is left.
func (o outgoing) write() (outgoing, error) {
	if o.pkg == nil {
		n, err := o.s.Write(o.body)
		o.body = o.body[n:]
		return o, err
	}
	n, err := o.s.WriteBuffers(o.pkg.with(o.body))
	head := min(int(n), len(o.pkg.left))
	o.pkg.left = o.pkg.left[head:]
	o.body = o.body[int(n)-head:]
	return o, err
}

// errCut is why nothing can be sent any more after a message was given up.
var errCut = errors.New("an earlier message was given up half sent")

func (s *stream) sendAll(o outgoing, l limit, r Retry) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.cut {
		return describe(errCut, "Write data failed")
	}
	o.s = s
	whole := o.left()
	o, err := attempt(s, l, r, o, outgoing.write)
	if err == nil {
		return nil
	}
	s.cut = o.left() < whole
	return describe(err, "Write data failed")
}

// incoming is a receive in progress: what has come so far.
type incoming struct {
	s     *stream
	data  []byte
	n     int // of data, where it has its full length from the start
	delim []byte
}

func (s *stream) receive(length int, l limit, r Retry) ([]byte, error) {
	in := incoming{s: s}
	var err error
	switch {
	case length > 0:
		in.data = make([]byte, length)
		in, err = attempt(s, l, r, in, incoming.full)
		in.data = in.data[:in.n]
	case length == 0:
		in.data = make([]byte, shortRead)
		in, err = attempt(s, l, r, in, incoming.once)
		in.data = in.data[:in.n]
	default:
		in.data = []byte{}
		in, err = attempt(s, l, r, in, incoming.available)
	}
	return in.data, bareEOF(err)
}

func (s *stream) receiveUntil(delim []byte, r Retry) ([]byte, error) {
	in, err := attempt(s, limit{}, r, incoming{s: s, data: []byte{}, delim: delim}, incoming.until)
	return in.data, bareEOF(err)
}

func (in incoming) full() (incoming, error) {
	n, err := in.s.current().ReadFull(in.data[in.n:])
	in.n += n
	return in, err
}

func (in incoming) once() (incoming, error) {
	n, err := in.s.current().Read(in.data)
	in.n = n
	return in, err
}

func (in incoming) available() (incoming, error) {
	var err error
	in.data, err = in.s.current().ReadAvailable(in.data, shortRead, in.s.bufferWait())
	return in, err
}

func (in incoming) until() (incoming, error) {
	var err error
	c, delim := in.s.current(), in.delim
	if len(in.data) == 0 || len(delim) == 1 {
		in.data, err = c.ReadUntil(in.data, delim, in.room())
		return in, err
	}
	// The delimiter may have begun in what an earlier attempt read. It ends
	// with its last byte in any case.
	last := delim[len(delim)-1:]
	for err == nil {
		in.data, err = c.ReadUntil(in.data, last, in.room())
		if bytes.HasSuffix(in.data, delim) {
			return in, nil
		}
	}
	return in, err
}

// room is how much more a line may bring; not zero, which has a meaning of its
// own to ReadUntil.
func (in incoming) room() int { return max(MaxLineSize-len(in.data), 1) }
