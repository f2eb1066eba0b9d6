package gtcp

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// outgoing is a message on its way out: what is left of it to write.
type outgoing struct {
	s          *innerConn
	head, body []byte
	parts      *[2][]byte // room for both; nil where there is no head
	asks       bool       // the answer is waited for, without a limit
}

func (o outgoing) left() int { return len(o.head) + len(o.body) }

// write makes one write of what is left.
func (o outgoing) write() (outgoing, error) {
	if o.parts == nil {
		n, err := o.s.Write(o.body)
		o.body = o.body[n:]
		return o, err
	}
	*o.parts = [2][]byte{o.head, o.body}
	n, err := o.s.WriteBuffers(o.parts[:])
	head := min(int(n), len(o.head))
	o.head, o.body = o.head[head:], o.body[int(n)-head:]
	return o, err
}

// errCut is why nothing can be sent any more after a message was given up.
var errCut = errors.New("an earlier message was given up half sent")

func (s *innerConn) sendAll(o outgoing, l limit, r Retry) error {
	if o.asks && o.parts == nil && simple(l, r) {
		if sent, err := s.ask(o.body); sent {
			return describe(err, "Write data failed")
		}
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.cut {
		return describe(errCut, "Write data failed")
	}
	o.s = s
	whole := o.left()
	var err error
	if simple(l, r) {
		o, err = o.write()
	} else {
		o, err = attempt(s, l, r, o, outgoing.write)
	}
	if err == nil {
		return nil
	}
	s.cut = o.left() < whole
	return describe(err, "Write data failed")
}

// giveUp notes that a message was given up half sent.
func (s *innerConn) giveUp() {
	s.sending.Lock()
	s.cut = true
	s.sending.Unlock()
}

// incoming is a receive in progress: what has come so far.
type incoming struct {
	c     *conn.Conn
	wait  time.Duration // of available
	delim []byte        // of until
	data  []byte
	n     int // of full and once: how much of data; of available: how much to expect

	gather *gather // whose data it is, of available
}

func (s *innerConn) receive(length int, l limit, r Retry) ([]byte, error) {
	c, err := s.reader()
	defer s.receiving.Unlock()
	if err != nil {
		return []byte{}, err
	}
	in := incoming{c: c}
	if length < 0 {
		return s.receiveAvailable(in, l, r)
	}
	step := incoming.full
	if length == 0 {
		length, step = shortRead, incoming.once
	}
	in.data = make([]byte, length)
	in, err = attempt(s, l, r, in, step)
	return in.data[:in.n], bareEOF(err)
}

// gathers holds memory in which Recv(-1) gathers what comes, so that of a long
// stream only the result, whose size is known by then, is new memory. What
// grew beyond maxGather is not kept.
var gathers = sync.Pool{New: func() any { return &gather{data: make([]byte, 0, 4<<10)} }}

const maxGather = 32 << 20

type gather struct{ data []byte }

func (s *innerConn) receiveAvailable(in incoming, l limit, r Retry) ([]byte, error) {
	in.wait, in.n = s.bufferWait(), s.gathered
	in, err := attempt(s, l, r, in, incoming.available)
	if in.gather == nil {
		return []byte{}, bareEOF(err)
	}
	result := bytes.Clone(in.data)
	s.gathered = min(len(result), maxGather)
	if cap(in.data) <= maxGather {
		in.gather.data = in.data
		gathers.Put(in.gather)
	}
	return result, bareEOF(err)
}

func (s *innerConn) receiveUntil(delim []byte, r Retry) ([]byte, error) {
	c, err := s.reader()
	defer s.receiving.Unlock()
	in := incoming{c: c, data: []byte{}, delim: delim}
	if err != nil {
		return in.data, err
	}
	if simple(limit{}, r) {
		in.data, err = c.ReadUntil(in.data, delim, MaxLineSize)
	} else {
		in, err = attempt(s, limit{}, r, in, incoming.until)
	}
	return in.data, bareEOF(err)
}

func (in incoming) full() (incoming, error) {
	n, err := in.c.ReadFull(in.data[in.n:])
	in.n += n
	return in, err
}

func (in incoming) once() (incoming, error) {
	n, err := in.c.Read(in.data)
	in.n = n
	return in, err
}

func (in incoming) available() (incoming, error) {
	// Nothing is held while nothing comes.
	if _, err := in.c.Peek(1); err != nil {
		return in, err
	}
	if in.gather == nil {
		in.gather = gathers.Get().(*gather)
		in.data = in.gather.data[:0]
		if in.c.Buffered() >= shortRead {
			in.data = slices.Grow(in.data, in.n) // as much as the last time
		}
	}
	var err error
	in.data, err = in.c.ReadAvailable(in.data, shortRead, in.wait)
	return in, err
}

func (in incoming) until() (incoming, error) {
	var err error
	in.data, err = in.c.ReadUntil(in.data, in.delim, in.room())
	return in, err
}

// room is how much more a line may bring; not zero, which has a meaning of its
// own to ReadUntil.
func (in incoming) room() int { return max(MaxLineSize-len(in.data), 1) }
