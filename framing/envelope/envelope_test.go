package envelope_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/stretchr/testify/require"
)

var trace = envelope.Trace{ID: [16]byte{0: 0x4b, 15: 0x36}, Parent: [8]byte{7: 0xb7}, Flags: 1}

// full has every field.
func full() envelope.Envelope {
	return envelope.Envelope{
		Number: 0x01020304, Timeout: 1500 * time.Millisecond, Trace: trace, State: []byte("vendor=x"),
		Method: []byte("users.get"), Status: 404, Message: []byte("no such user"), Push: true,
	}
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func TestRoundTrip(t *testing.T) {
	for name, want := range map[string]envelope.Envelope{
		"zero":           {},
		"number":         {Number: math.MaxUint32},
		"timeout":        {Timeout: time.Microsecond},
		"expired":        {Timeout: -1},
		"long timeout":   {Timeout: 100 * 365 * 24 * time.Hour},
		"trace":          {Trace: trace},
		"128 µs":         {Timeout: 128 * time.Microsecond},
		"127 µs":         {Timeout: 127 * time.Microsecond},
		"status 127":     {Status: 127},
		"status 128":     {Status: 128},
		"status 16384":   {Status: 1 << 14},
		"method of 127":  {Method: bytes.Repeat([]byte("m"), 127)},
		"method of 128":  {Method: bytes.Repeat([]byte("m"), 128)},
		"largest status": {Status: math.MaxUint32},
		"method":         {Method: []byte("m")},
		"longest":        {State: bytes.Repeat([]byte("s"), 512), Method: bytes.Repeat([]byte("m"), 255), Message: bytes.Repeat([]byte("x"), 1024)},
		"status":         {Status: 1},
		"goodbye":        {Goodbye: true},
		"push":           {Push: true},
		"all":            full(),
	} {
		t.Run(name, func(t *testing.T) {
			frame, err := want.Append([]byte("before"))
			require.NoError(t, err)
			frame = frame[len("before"):]
			require.Len(t, frame, want.Size())
			require.LessOrEqual(t, len(frame), envelope.MaxSize)
			frame = append(frame, "payload"...)
			var got envelope.Envelope
			payload, err := got.Parse(frame)
			require.NoError(t, err)
			require.Equal(t, "payload", string(payload))
			require.Equal(t, want, got)
		})
	}
}

func TestTimeoutIsRoundedUp(t *testing.T) {
	for _, tt := range []struct{ in, out time.Duration }{
		{1, time.Microsecond}, {1001, 2 * time.Microsecond}, {-time.Hour, -1},
		{math.MaxInt64, math.MaxInt64},
	} {
		frame, err := (&envelope.Envelope{Timeout: tt.in}).Append(nil)
		require.NoError(t, err)
		var got envelope.Envelope
		_, err = got.Parse(frame)
		require.NoError(t, err)
		require.Equal(t, tt.out, got.Timeout)
	}
}

// A field that is too long is the sender's fault, and says which it is.
func TestAppendRefusesWhatIsTooLong(t *testing.T) {
	for field, e := range map[string]envelope.Envelope{
		"State":   {State: make([]byte, 513)},
		"Method":  {Method: make([]byte, 256)},
		"Message": {Message: make([]byte, 1025)},
	} {
		dst, err := e.Append([]byte("kept"))
		require.ErrorContains(t, err, field+" is longer")
		require.Equal(t, "kept", string(dst))
	}
}

// TestWireDocument checks the rows "envelope | on the wire" of docs/wire.md.
func TestWireDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/wire.md")
	require.NoError(t, err)
	rows := map[string]envelope.Envelope{
		"nothing":                         {},
		"number 7":                        {Number: 7},
		"timeout 1.5 s":                   {Timeout: 1500 * time.Millisecond},
		"timeout that has passed":         {Timeout: -1},
		"method `get`":                    {Method: []byte("get")},
		"number 7, status 2, `no`":        {Number: 7, Status: 2, Message: []byte("no")},
		"goodbye":                         {Goodbye: true},
		"trace 1, parent 2, recorded":     {Trace: envelope.Trace{ID: [16]byte{15: 1}, Parent: [8]byte{7: 2}, Flags: 1}},
		"number 1, push":                  {Number: 1, Push: true},
		"trace as above, state `v=1`":     {Trace: envelope.Trace{ID: [16]byte{15: 1}, Parent: [8]byte{7: 2}, Flags: 1}, State: []byte("v=1")},
		"timeout 1 µs, method of 200 `m`": {Timeout: time.Microsecond, Method: bytes.Repeat([]byte("m"), 200)},
	}
	_, section, found := strings.Cut(string(doc), "## The envelope")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	seen := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (.+) \\| `(e1.+)` \\|$").FindAllStringSubmatch(section, -1) {
		e, known := rows[row[1]]
		require.True(t, known, "%q", row[1])
		frame, err := e.Append(nil)
		require.NoError(t, err)
		front, back, cut := strings.Cut(row[2], " … ")
		if cut {
			require.True(t, bytes.HasPrefix(frame, unhex(t, front)))
			require.True(t, bytes.HasSuffix(frame, unhex(t, back)))
		} else {
			require.Equal(t, hex.EncodeToString(unhex(t, front)), hex.EncodeToString(frame), row[1])
		}
		seen++
	}
	require.Equal(t, len(rows), seen)
}

func TestGoodbye(t *testing.T) {
	frame, err := (&envelope.Envelope{Goodbye: true}).Append(nil)
	require.NoError(t, err)
	require.Equal(t, frame, envelope.Goodbye())
	envelope.Goodbye()[0] = 0
	require.Equal(t, frame, envelope.Goodbye(), "each call returns its own")
}

// Every cut of a frame is an error or ends in the payload; none is taken for
// another envelope.
func TestCutAtEveryByte(t *testing.T) {
	e := full()
	frame, err := e.Append(nil)
	require.NoError(t, err)
	size := len(frame)
	frame = append(frame, "payload"...)
	for n := range len(frame) + 1 {
		var got envelope.Envelope
		payload, err := got.Parse(frame[:n:n])
		if n < size {
			require.ErrorIs(t, err, envelope.ErrMalformed, "cut at %d", n)
			require.Equal(t, conn.KindProtocol, conn.KindOf(err))
			require.Zero(t, got, "cut at %d", n)
			require.Nil(t, payload)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, e, got)
		require.Equal(t, string(frame[size:n]), string(payload))
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, frame string }{
		{"nothing", ""},
		{"a frame without envelope", "68656c6c6f20776f726c64"},
		{"another version", "e2 00 0000 00000000"},
		{"an unknown flag", "e1 04 0000 00000000"},
		{"more than there is", "e1 00 ffff 00000000"},
		{"a tag of zero", "e1 00 0002 00000000 00 00"},
		{"a tag alone", "e1 00 0001 00000000 04"},
		{"a length without end", "e1 00 000c 00000000 04 8080808080808080808001"},
		{"a length beyond the fields", "e1 00 0003 00000000 04 02 61"},
		{"a length of 2^63", "e1 00 000b 00000000 04 80808080808080808001"},
		{"a field twice", "e1 00 0006 00000000 04 01 61 04 01 62"},
		{"fields out of order", "e1 00 0006 00000000 04 01 61 03 01 62"},
		{"an empty timeout", "e1 00 0002 00000000 01 00"},
		{"a timeout with a byte too many", "e1 00 0004 00000000 01 02 05 05"},
		{"a timeout beyond 64 bits", "e1 00 000d 00000000 01 0b ffffffffffffffffffff7f"},
		{"a trace too short", "e1 00 0003 00000000 02 01 00"},
		{"a status with a byte too many", "e1 00 0004 00000000 05 02 05 05"},
		{"an empty status", "e1 00 0002 00000000 05 00"},
		{"a status beyond 32 bits", "e1 00 0007 00000000 05 05 8080808010"},
		{"a method too long", "e1 00 0103 00000000 04 8002" + strings.Repeat("6d", 256)},
		{"an unknown field that must be understood", "e1 00 0002 00000000 80 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := full()
			_, err := e.Parse(unhex(t, tt.frame))
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.Zero(t, e)
		})
	}
}

// What a later version may add is passed over.
func TestParseIgnoresFieldsItDoesNotKnow(t *testing.T) {
	var e envelope.Envelope
	payload, err := e.Parse(unhex(t, "e1 00 0009 00000007 04 01 61 07 00 7f 02 abcd 70"))
	require.NoError(t, err)
	require.Equal(t, envelope.Envelope{Number: 7, Method: []byte("a")}, e)
	require.Equal(t, "p", string(payload))
}

// W3C has an invalid trace ignored, not refused.
func TestParseIgnoresATraceOfZeros(t *testing.T) {
	var e envelope.Envelope
	_, err := e.Parse(unhex(t, "e1 00 001b 00000000 02 19"+strings.Repeat("00", 24)+"01"))
	require.NoError(t, err)
	require.Zero(t, e)
}

func TestTheCallersTimeReachesTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var e envelope.Envelope
		e.SetTimeout(ctx)
		require.Equal(t, 2*time.Second, e.Timeout)
		frame, err := e.Append(nil)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		e.SetTimeout(ctx)
		require.Negative(t, e.Timeout)
		e.SetTimeout(context.Background())
		require.Zero(t, e.Timeout)

		var got envelope.Envelope
		_, err = got.Parse(frame)
		require.NoError(t, err)
		start := time.Now()
		handler, end := got.Context(t.Context())
		defer end()
		<-handler.Done()
		require.Equal(t, 2*time.Second, time.Since(start))
		require.ErrorIs(t, handler.Err(), context.DeadlineExceeded)

		handler, end = (&envelope.Envelope{}).Context(t.Context())
		end()
		require.NoError(t, handler.Err(), "no time limit")
		handler, end = (&envelope.Envelope{Timeout: -1}).Context(t.Context())
		defer end()
		require.ErrorIs(t, handler.Err(), context.DeadlineExceeded)
	})
}

func TestTheExactEndOfADeadlineHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		var e envelope.Envelope
		e.SetTimeout(ctx)
		require.Negative(t, e.Timeout)
	})
}

func TestTrace(t *testing.T) {
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tr, err := envelope.ParseTrace(header)
	require.NoError(t, err)
	require.Equal(t, header, tr.String())
	require.False(t, tr.IsZero())
	later, err := envelope.ParseTrace("cc" + header[2:] + "-what-comes-later")
	require.NoError(t, err)
	require.Equal(t, tr, later)
	for _, bad := range []string{
		"", "00", header[:54], header + "0", header + "-more", "ff" + header[2:], "cc" + header[2:] + ".x",
		strings.ToUpper(header), "0g" + header[2:], strings.Replace(header, "-4b", "x4b", 1),
		strings.Replace(header, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1),
		strings.Replace(header, "00f067aa0ba902b7", strings.Repeat("0", 16), 1),
		strings.Replace(header, "f92f", "f9-f", 1),
		header[:2] + "a" + header[3:], header[:35] + "a" + header[36:], header[:52] + "a" + header[53:],
	} {
		_, err := envelope.ParseTrace(bad)
		require.Error(t, err, bad)
	}
	require.True(t, envelope.Trace{}.IsZero())
}

func TestMatcher(t *testing.T) {
	var m envelope.Matcher
	require.Equal(t, uint64(math.MaxUint32), m.Max())
	request, err := (&envelope.Envelope{Number: 5, Method: []byte("m")}).Append(nil)
	require.NoError(t, err)
	old, ok := m.Put(request, 1<<32-1)
	require.True(t, ok)
	require.EqualValues(t, 5, old, "the caller's own")
	n, ok := m.Get(request)
	require.True(t, ok)
	require.EqualValues(t, uint64(1<<32-1), n)
	m.Restore(request, 5)
	var e envelope.Envelope
	_, err = e.Parse(request)
	require.NoError(t, err)
	require.EqualValues(t, 5, e.Number)

	empty, err := (&envelope.Envelope{Number: 9}).Append(nil)
	require.NoError(t, err)
	n, ok = m.Get(empty)
	require.True(t, ok, "a reply without fields and payload")
	require.EqualValues(t, 9, n)
	old, ok = m.Put(empty, 10)
	require.True(t, ok)
	require.EqualValues(t, 9, old)

	push, err := (&envelope.Envelope{Push: true}).Append(nil)
	require.NoError(t, err)
	for _, frame := range [][]byte{nil, []byte("short"), []byte("no envelope at all"), envelope.Goodbye(), push} {
		_, ok := m.Get(frame)
		require.False(t, ok, "%q", frame)
		before := bytes.Clone(frame)
		if !bytes.Equal(frame, push) && len(frame) > 0 && frame[0] != 0xe1 {
			old, ok := m.Put(frame, 9)
			require.False(t, ok)
			require.Zero(t, old)
			require.Equal(t, before, frame)
		}
	}
}

func TestNoReply(t *testing.T) {
	for _, c := range []struct {
		name string
		of   envelope.Envelope
		want bool
	}{
		{"reply", envelope.Envelope{Number: 1, Status: 2}, false},
		{"push", envelope.Envelope{Push: true, Method: []byte("m")}, true},
		{"goodbye", envelope.Envelope{Goodbye: true}, true},
		{"both", envelope.Envelope{Goodbye: true, Push: true}, true},
	} {
		frame, err := c.of.Append(nil)
		require.NoError(t, err)
		require.Equal(t, c.want, envelope.NoReply(frame), c.name)
		require.False(t, envelope.NoReply(frame[:7]), c.name)
		require.False(t, envelope.NoReply(append([]byte{0}, frame...)), c.name)
	}
}
