package envelope

import (
	"context"
	"encoding/binary"
	"math"
	"time"
)

// The fixed part of an envelope: see docs/wire.md.
const (
	version   = 0xe1 // the first byte
	fixedSize = 8    // version, flags, size of the fields, number
	sizeAt    = 2
	numberAt  = 4

	flagGoodbye = 1 << 0
	flagPush    = 1 << 1
	knownFlags  = flagGoodbye | flagPush
)

// The tags of the fields, which are in this order on the wire. A receiver
// ignores a field that it does not know, unless its tag has the highest bit.
const (
	tagTimeout = 1
	tagTrace   = 2
	tagState   = 3
	tagMethod  = 4
	tagStatus  = 5
	tagMessage = 6

	mustKnow = 0x80
)

// Bounds in bytes.
const (
	MaxState   = 512                        // of Envelope.State: what W3C asks all to carry
	MaxMethod  = 255                        // of Envelope.Method
	MaxMessage = 1024                       // of Envelope.Message
	MaxSize    = fixedSize + math.MaxUint16 // of an envelope
	MinSize    = fixedSize                  // likewise
)

// Envelope is the metadata of one frame. The zero value is the smallest
// envelope: that of a request without metadata, or of a reply to a successful
// request.
type Envelope struct {
	// Number pairs a reply with its request: a reply has that of its request.
	// A Matcher writes it. Zero where replies come in order.
	Number uint32

	// Timeout is how long the caller still waits for the reply. It is sent
	// in whole microseconds, rounded up. It counts from the arrival of the
	// frame, because the clocks of two machines differ. Zero means that the
	// caller has no time limit, negative that it has passed.
	Timeout time.Duration

	// Trace is the caller's trace context. The zero Trace is none.
	Trace Trace
	// State is the tracestate that goes with Trace, at most 512 bytes.
	State []byte

	// Method names what is asked for, at most 255 bytes.
	Method []byte

	// Status is set in a reply and is the outcome of the request. Zero is
	// success. The two programs define the other values.
	Status uint32
	// Message says in words what Status means, at most 1024 bytes.
	Message []byte

	// Goodbye marks the last frame of a server that closes the connection:
	// no request without a reply so far was handled.
	Goodbye bool
	// Push marks a frame of a server that is no reply.
	Push bool
}

// SetTimeout sets Timeout to the time that is left until the deadline of ctx.
func (e *Envelope) SetTimeout(ctx context.Context) {
	e.Timeout = 0
	if deadline, ok := ctx.Deadline(); ok {
		if e.Timeout = time.Until(deadline); e.Timeout == 0 {
			e.Timeout = -1
		}
	}
}

// Context returns a child of ctx that ends when the caller's time has passed,
// counted from now. If Timeout is zero it only returns ctx and a function that
// does nothing.
func (e *Envelope) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, e.Timeout)
}

// Size returns how many bytes Append appends.
func (e *Envelope) Size() int { return fixedSize + e.fieldsSize() }

func (e *Envelope) fieldsSize() (n int) {
	if e.Timeout != 0 {
		n += fieldSize(uvarintSize(e.micros()))
	}
	if !e.Trace.IsZero() {
		n += fieldSize(traceSize)
	}
	for _, text := range [...][]byte{e.State, e.Method, e.Message} {
		if len(text) > 0 {
			n += fieldSize(len(text))
		}
	}
	if e.Status != 0 {
		n += fieldSize(uvarintSize(uint64(e.Status)))
	}
	return n
}

// fieldSize is what a field takes with its tag and its length.
func fieldSize(n int) int { return 1 + uvarintSize(uint64(n)) + n }

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// micros is Timeout as it is sent.
func (e *Envelope) micros() uint64 {
	if e.Timeout <= 0 {
		return 0
	}
	return (uint64(e.Timeout) + uint64(time.Microsecond) - 1) / uint64(time.Microsecond)
}

// Append appends the envelope to dst, and returns the extended slice. The
// payload has to follow. If a field is longer than its limit, the error
// names the field, and dst is returned unchanged.
func (e *Envelope) Append(dst []byte) ([]byte, error) {
	switch {
	case len(e.State) > MaxState:
		return dst, errLongState
	case len(e.Method) > MaxMethod:
		return dst, errLongMethod
	case len(e.Message) > MaxMessage:
		return dst, errLongMessage
	}
	var flags byte
	if e.Goodbye {
		flags |= flagGoodbye
	}
	if e.Push {
		flags |= flagPush
	}
	dst = append(dst, version, flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(e.fieldsSize())) // the bounds leave it far below
	dst = binary.BigEndian.AppendUint32(dst, e.Number)
	if e.Timeout != 0 {
		dst = appendNumber(dst, tagTimeout, e.micros())
	}
	if !e.Trace.IsZero() {
		dst = append(dst, tagTrace, traceSize)
		dst = append(dst, e.Trace.ID[:]...)
		dst = append(dst, e.Trace.Parent[:]...)
		dst = append(dst, e.Trace.Flags)
	}
	dst = appendText(dst, tagState, e.State)
	dst = appendText(dst, tagMethod, e.Method)
	if e.Status != 0 {
		dst = appendNumber(dst, tagStatus, uint64(e.Status))
	}
	return appendText(dst, tagMessage, e.Message), nil
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	return binary.AppendUvarint(append(dst, tag, byte(uvarintSize(v))), v)
}

func appendText(dst []byte, tag byte, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(text))), text...)
}

// Goodbye returns the last frame that a server sends before it closes a
// connection: an envelope with the goodbye flag and no payload. Use it
// for FrameHandler.Goodbye of the server and for the Goodbye setting of
// its clients.
func Goodbye() []byte { return []byte{version, flagGoodbye, 0, 0, 0, 0, 0, 0} }
