package pipeline

import "encoding/binary"

// Matcher finds the number in a frame that pairs a reply with its request. Use
// [Number] if the number is at a fixed place, and your own Matcher otherwise. The
// methods use only their arguments. They must not block, keep the bytes, or
// call the pipeline. They are called from many goroutines. Frames are as the
// Format has them: without the length field where the Format strips it.
type Matcher interface {
	// Put writes n into a request and returns the number that was there, which
	// Restore is given later. ok is false if the request has no place for a
	// number; the call then fails with [ErrNoNumber].
	Put(request []byte, n uint64) (old uint64, ok bool)
	// Get returns the number of a frame. ok is false if the frame is not a
	// reply: Config.OnPush gets it.
	Get(frame []byte) (n uint64, ok bool)
	// Restore writes the number that Put found into the reply, so that the
	// caller sees its own.
	Restore(reply []byte, old uint64)
	// Max returns the largest number. The pipeline uses 1 to Max.
	Max() uint64
}

// Number says where frames carry the number that pairs a reply with its
// request: Number{Size: 2} for DNS and Modbus/TCP, Number{Offset: 4, Size: 4}
// for a 4-byte number behind 4 other bytes. Zero is never used as a number, so
// that frames with zero, and frames too short to hold a number, are not replies.
// If the peer also sends requests, with numbers of its own, a Number takes them for
// replies: use a Matcher that tells them from replies.
type Number struct {
	// Offset is how many bytes of the frame come before the number.
	Offset int
	// Size is the size of the number in bytes, 1 to 8.
	Size int
	// LittleEndian selects little-endian byte order.
	LittleEndian bool
	// Reply says where replies carry the number. Nil means the same place as
	// in requests. Its own Reply is not used.
	Reply *Number
}

var _ Matcher = Number{}

// Put writes n into a request.
func (f Number) Put(request []byte, n uint64) (old uint64, ok bool) {
	old, ok = f.at(request)
	if ok {
		f.set(request, n)
	}
	return old, ok
}

// Get returns the number of a frame that may be a reply.
func (f Number) Get(frame []byte) (n uint64, ok bool) {
	n, ok = f.reply().at(frame)
	return n, ok && n != 0
}

// Restore writes the number that Put found into the reply.
func (f Number) Restore(reply []byte, old uint64) { f.reply().set(reply, old) }

// Max returns the largest number that fits both places.
func (f Number) Max() uint64 {
	size := f.Size
	if f.Reply != nil {
		size = min(size, f.Reply.Size)
	}
	return 1<<(8*size) - 1 // all ones for 8
}

func (f Number) reply() Number {
	if f.Reply != nil {
		return *f.Reply
	}
	return f
}

// at returns the number in a frame.
func (f Number) at(frame []byte) (n uint64, ok bool) {
	if f.Offset+f.Size > len(frame) {
		return 0, false
	}
	b := frame[f.Offset : f.Offset+f.Size]
	switch {
	case f.Size == 2 && !f.LittleEndian:
		return uint64(binary.BigEndian.Uint16(b)), true
	case f.Size == 4 && !f.LittleEndian:
		return uint64(binary.BigEndian.Uint32(b)), true
	case f.LittleEndian:
		for i := len(b) - 1; i >= 0; i-- {
			n = n<<8 | uint64(b[i])
		}
	default:
		for _, v := range b {
			n = n<<8 | uint64(v)
		}
	}
	return n, true
}

// set writes a number into a frame that has room for it.
func (f Number) set(frame []byte, n uint64) {
	if f.Offset+f.Size > len(frame) {
		return
	}
	b := frame[f.Offset : f.Offset+f.Size]
	for i := range b {
		at := i
		if !f.LittleEndian {
			at = len(b) - 1 - i
		}
		b[at] = byte(n)
		n >>= 8
	}
}

// problem says why f cannot be used, or "".
func (f Number) problem() string {
	switch {
	case f.Offset < 0:
		return "has a negative Offset"
	case f.Size < 1 || f.Size > 8:
		return "has a Size that is not 1 to 8"
	case f.Reply != nil && f.Reply.Offset < 0:
		return "has a negative Reply.Offset"
	case f.Reply != nil && (f.Reply.Size < 1 || f.Reply.Size > 8):
		return "has a Reply.Size that is not 1 to 8"
	}
	return ""
}

// numbers are the numbers of the calls in flight on one connection. They are
// handed out in turn, so that one is used again as late as possible, and found
// again in one step: slot n modulo the table's length holds the call of n.
type numbers struct {
	max     uint64  // the last number; the first is 1
	last    uint64  // the one handed out last
	wrapped bool    // all have been handed out at least once
	slots   []*call // length a power of two
	taken   int
}

// next returns a number that is free. There must be one: the permits see to it.
func (t *numbers) next() uint64 {
	if 2*(t.taken+1) > len(t.slots) && uint64(len(t.slots)) <= t.max {
		t.grow()
	}
	mask := uint64(len(t.slots) - 1)
	for n := t.last; ; {
		if n++; n > t.max || n == 0 {
			n = 1
		}
		if t.slots[n&mask] == nil {
			return n
		}
	}
}

func (t *numbers) grow() {
	slots := make([]*call, max(16, 2*len(t.slots)))
	for _, c := range t.slots {
		if c != nil {
			slots[c.number&uint64(len(slots)-1)] = c
		}
	}
	t.slots = slots
}

// put takes the number n, which next returned, for c.
func (t *numbers) put(c *call, n uint64) {
	if n < t.last || n == t.max {
		t.wrapped = true
	}
	c.number, t.last = n, n
	t.slots[n&uint64(len(t.slots)-1)] = c
	t.taken++
}

// find returns the call that has the number n, or nil.
func (t *numbers) find(n uint64) *call {
	if len(t.slots) == 0 {
		return nil
	}
	if c := t.slots[n&uint64(len(t.slots)-1)]; c != nil && c.number == n {
		return c
	}
	return nil
}

// free gives the number of c back.
func (t *numbers) free(c *call) {
	t.slots[c.number&uint64(len(t.slots)-1)] = nil
	t.taken--
}

// replace gives the number of c, which d has too, to d.
func (t *numbers) replace(c, d *call) { t.slots[c.number&uint64(len(t.slots)-1)] = d }

// handedOut reports whether n has ever been a call's number.
func (t *numbers) handedOut(n uint64) bool {
	return n != 0 && n <= t.max && (t.wrapped || n <= t.last)
}
