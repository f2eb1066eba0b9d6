package envelope

import (
	"encoding/hex"
	"errors"
)

// traceSize is the size of a Trace on the wire.
const traceSize = 16 + 8 + 1

// Trace is a trace context: what W3C's traceparent header carries.
type Trace struct {
	// ID is the number of the whole trace.
	ID [16]byte
	// Parent is the number of the caller's span.
	Parent [8]byte
	// Flags is 1 if the caller records the trace.
	Flags byte
}

// IsZero reports whether ID or Parent is zero. W3C calls such a trace invalid
// and says that it must be ignored.
func (t Trace) IsZero() bool { return t.ID == [16]byte{} || t.Parent == [8]byte{} }

// set takes a trace off the wire.
func (t *Trace) set(b []byte) {
	var got Trace
	copy(got.ID[:], b)
	copy(got.Parent[:], b[16:])
	got.Flags = b[24]
	if !got.IsZero() {
		*t = got
	}
}

// String returns the trace as a traceparent header, version 00.
func (t Trace) String() string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.Parent[:])
	b = append(b, '-')
	return string(hex.AppendEncode(b, []byte{t.Flags}))
}

var errTraceparent = errors.New("envelope: not a traceparent")

// ParseTrace reads a traceparent header of version 00. Of a later version it
// reads the part that version 00 has too.
func ParseTrace(s string) (Trace, error) {
	const length = 55 // of version 00
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Trace{}, errTraceparent
	}
	if s[:2] == "ff" || s[:2] == "00" && len(s) != length || len(s) > length && s[length] != '-' {
		return Trace{}, errTraceparent
	}
	for _, c := range s[:length] { // hex.Decode would take capitals
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Trace{}, errTraceparent
		}
	}
	var version, flags [1]byte
	var t Trace
	for _, part := range []struct {
		dst  []byte
		from string
	}{{version[:], s[:2]}, {t.ID[:], s[3:35]}, {t.Parent[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.dst, []byte(part.from)); err != nil {
			return Trace{}, errTraceparent
		}
	}
	if t.IsZero() {
		return Trace{}, errTraceparent
	}
	t.Flags = flags[0]
	return t, nil
}
