package gtcp

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"
)

// outgoing is a message on its way out: what is left of it to write.
type outgoing struct {
	s          *innerConn
	head, body []byte
	parts      *[2][]byte // room for both; nil where there is no head
	asks       bool       // the caller waits for the reply
}

func (o outgoing) left() int { return len(o.head) + len(o.body) }

// write makes one write of what is left. sending is held.
func (o outgoing) write() (outgoing, error) {
	if o.s.cut {
		return o, errCut
	}
	if o.asks {
		if err := o.s.expectReply(sending); err != nil {
			return o, err
		}
	}
	if o.parts == nil {
		n, err := o.s.write(o.body)
		o.body = o.body[n:]
		return o, err
	}
	*o.parts = [2][]byte{o.head, o.body}
	n, err := o.s.writeBuffers(o.parts[:])
	head := min(int(n), len(o.head))
	o.head, o.body = o.head[head:], o.body[int(n)-head:]
	return o, err
}

// errCut is why nothing can be sent any more after a message was given up.
var errCut = errors.New("an earlier message was given up half sent")

func (s *innerConn) sendAll(o outgoing, l limit, r Retry) error {
	if o.asks && o.parts == nil && simple(l, r) {
		if sent, err := s.ask(o.body); sent {
			return s.sendError(err)
		}
	}
	o.s = s
	whole := o.left()
	var err error
	if simple(l, r) {
		if err := s.enter(sending, time.Time{}); err != nil {
			return s.sendError(err)
		}
		defer s.sending.unlock()
		o, err = o.write()
	} else {
		var held bool
		if o, held, err = attempt(s, sending, l, r, o, outgoing.write); held {
			defer s.sending.unlock()
		}
	}
	if err == nil {
		return nil
	}
	s.cut = s.cut || o.left() < whole
	return s.sendError(err)
}

// sendError is the error of a send in gtcp's words.
func (s *innerConn) sendError(err error) error {
	return describe(s.ioError(err), "Write data failed")
}

// giveUp notes that a message was given up half sent.
func (s *innerConn) giveUp() {
	s.sending.lock(time.Time{})
	s.cut = true
	s.sending.unlock()
}

// incoming is a receive in progress: what has come so far.
type incoming struct {
	s     *innerConn
	delim []byte // of until
	data  []byte
	n     int // of full and once: how much of data

	gather *gather // whose data it is, of available
}

func (s *innerConn) receive(length int, l limit, r Retry) ([]byte, error) {
	in := incoming{s: s}
	if length < 0 {
		return s.receiveAvailable(in, l, r)
	}
	step := incoming.full
	if length == 0 {
		length, step = shortRead, incoming.once
	}
	in.data = make([]byte, length)
	in, held, err := attempt(s, receiving, l, r, in, step)
	if held {
		s.receiving.unlock()
	}
	return in.data[:in.n], s.recvError(err)
}

// recvError is the error of a receive as gtcp has it.
func (s *innerConn) recvError(err error) error { return bareEOF(s.ioError(err)) }

// gathers holds memory in which Recv(-1) gathers what comes, so that of a long
// stream only the result, whose size is known by then, is new memory. What
// grew beyond maxGather is not kept.
var gathers = sync.Pool{New: func() any { return &gather{data: make([]byte, 0, 4<<10)} }}

const maxGather = 32 << 20

type gather struct{ data []byte }

func (s *innerConn) receiveAvailable(in incoming, l limit, r Retry) ([]byte, error) {
	in, held, err := attempt(s, receiving, l, r, in, incoming.available)
	if held {
		defer s.receiving.unlock()
	}
	if in.gather == nil {
		return []byte{}, s.recvError(err)
	}
	result := bytes.Clone(in.data)
	s.gathered = min(len(result), maxGather)
	if cap(in.data) <= maxGather {
		in.gather.data = in.data
		gathers.Put(in.gather)
	}
	return result, s.recvError(err)
}

func (s *innerConn) receiveUntil(delim []byte, r Retry) ([]byte, error) {
	in := incoming{s: s, data: []byte{}, delim: delim}
	var err error
	if simple(limit{}, r) {
		if err := s.enter(receiving, time.Time{}); err != nil {
			return in.data, err
		}
		defer s.receiving.unlock()
		in, err = in.until()
	} else {
		var held bool
		if in, held, err = attempt(s, receiving, limit{}, r, in, incoming.until); held {
			defer s.receiving.unlock()
		}
	}
	return in.data, s.recvError(err)
}

func (in incoming) full() (incoming, error) {
	c, err := in.s.reader()
	if err != nil {
		return in, err
	}
	n, err := c.ReadFull(in.data[in.n:])
	in.n += n
	return in, err
}

func (in incoming) once() (incoming, error) {
	c, err := in.s.reader()
	if err == nil {
		in.n, err = c.Read(in.data)
	}
	return in, err
}

// available takes what is there. A timeout is an error only if nothing has
// come: programs that poll drop what comes with an error.
func (in incoming) available() (incoming, error) {
	c, err := in.s.reader()
	if err != nil {
		return in, err
	}
	// Nothing is held while nothing comes.
	if _, err := c.Peek(1); err != nil {
		return in, err
	}
	if in.gather == nil {
		in.gather = gathers.Get().(*gather)
		in.data = in.gather.data[:0]
		if c.Buffered() >= shortRead {
			in.data = slices.Grow(in.data, in.s.gathered) // as much as the last time
		}
	}
	in.data, err = c.ReadAvailable(in.data, shortRead, in.s.bufferWait())
	if len(in.data) > 0 && isTimeout(err) {
		err = nil
	}
	return in, err
}

func (in incoming) until() (incoming, error) {
	c, err := in.s.reader()
	if err == nil {
		in.data, err = c.ReadUntil(in.data, in.delim, in.room())
	}
	return in, err
}

// room is how much more a line may bring; not zero, which has a meaning of its
// own to ReadUntil.
func (in incoming) room() int { return max(MaxLineSize-len(in.data), 1) }
