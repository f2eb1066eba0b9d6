package envelope

import (
	"encoding/binary"
	"math"
)

// Matcher pairs replies with requests by Envelope.Number: give it to
// pipeline.Config.Match, and replies may come in any order. It takes whole
// frames, each of which must begin with an envelope.
type Matcher struct{}

// Put writes the number n into a request, and returns the number that the
// request had before. ok is false if the request has no envelope; the request is
// then unchanged.
func (Matcher) Put(request []byte, n uint64) (old uint64, ok bool) {
	if !isOne(request) {
		return 0, false
	}
	old = uint64(binary.BigEndian.Uint32(request[numberAt:]))
	binary.BigEndian.PutUint32(request[numberAt:], uint32(n))
	return old, true
}

// Get returns the number of a reply. ok is false if the frame is not a reply:
// it is a push, a goodbye, or has no envelope.
func (Matcher) Get(frame []byte) (n uint64, ok bool) {
	if !isOne(frame) || frame[1]&(flagGoodbye|flagPush) != 0 {
		return 0, false
	}
	return uint64(binary.BigEndian.Uint32(frame[numberAt:])), true
}

// Restore writes the caller's own number back into the reply.
func (m Matcher) Restore(reply []byte, old uint64) { m.Put(reply, old) }

// Max returns the largest number.
func (Matcher) Max() uint64 { return math.MaxUint32 }

// NoReply reports whether a frame of a server has the push or the goodbye flag, so
// that it is not the reply to a request. A frame without an envelope has none.
func NoReply(frame []byte) bool {
	return isOne(frame) && frame[1]&(flagGoodbye|flagPush) != 0
}

func isOne(frame []byte) bool { return len(frame) >= fixedSize && frame[0] == version }
