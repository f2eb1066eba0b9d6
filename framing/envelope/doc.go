// Package envelope puts metadata before the payload of a frame: how long the
// caller waits, which trace the call belongs to, the method, the status of a
// reply, a number that pairs a reply with its request, and a goodbye. It is
// opt-in: both programs must use it. docs/wire.md specifies the bytes.
//
// A sender writes an Envelope and then the payload, as one frame:
//
//	e := envelope.Envelope{Method: method}
//	e.SetTimeout(ctx)
//	frame, err := e.Append(frame[:0])
//	frame = append(frame, payload...)
//
// A receiver takes it off again:
//
//	var e envelope.Envelope
//	payload, err := e.Parse(frame)
//	ctx, cancel := e.Context(ctx) // ends when the caller's does
//	defer cancel()
//
// The smallest envelope has 8 bytes. Append and Parse allocate nothing, and what
// Parse returns lies in the frame: it is valid as long as the frame is.
//
// # Order of replies
//
// Number is at a fixed place in the frame, and Matcher tells pool/pipeline where:
// with it a server may reply in any order. Without it Number is zero and replies
// come in the order of the requests.
//
// # Hostile peers
//
// Nothing in an envelope is believed: Parse checks every length against the bytes
// that are there, keeps nothing, and its errors are made in advance. An error
// wraps ErrMalformed; the frame is then useless, and so is the peer.
package envelope
