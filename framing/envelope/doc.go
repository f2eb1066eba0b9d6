// Package envelope puts metadata before the payload of a frame. The metadata
// are the time limit of the caller, the trace, the method, the status of a
// reply, a number that pairs a reply with its request, and a goodbye. The
// envelope is optional. If one program uses it, the other one must use it
// too. docs/wire.md specifies the bytes.
//
// Usually you need only set the field Envelope of gtcp.ClientConfig and of
// server.FrameHandler. The deadline of a call then ends the context of its handler,
// a trace of [ContextWithTrace] reaches it, and a handler returns a [*StatusError]
// to choose the error of the call.
//
// In other programs, a sender writes an Envelope and then the payload, as one frame:
//
//	e := envelope.Envelope{Method: method}
//	e.SetTimeout(ctx)
//	frame, err := e.Append(frame[:0])
//	frame = append(frame, payload...)
//
// A receiver removes the envelope:
//
//	var e envelope.Envelope
//	payload, err := e.Parse(frame)
//	ctx, cancel := e.Context(ctx) // ends when the caller's does
//	defer cancel()
//
// The smallest envelope has 8 bytes. Append and Parse allocate nothing. The
// slices that Parse returns or sets are parts of the frame, and are valid as
// long as the frame is.
//
// # Order of replies
//
// Number is at a fixed place in the frame. Matcher reads and writes it there;
// with it a server may reply in any order. Without a Matcher, Number is zero and
// replies come in the order of the requests.
//
// # Hostile peers
//
// Parse trusts nothing in an envelope. It checks every length against the size of
// the frame, and it allocates nothing, even for an error. An error wraps
// ErrMalformed. Then close the connection: the peer does not use the protocol.
package envelope
