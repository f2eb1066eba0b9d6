package framing_test

import (
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format framing.Format
		field  string // empty: valid
		limit  int    // MaxPayload if valid
	}{
		{"zero", framing.Format{}, "", 65535},
		{"one", framing.Format{HeaderSize: 1}, "", 255},
		{"two", framing.Format{HeaderSize: 2}, "", 65535},
		{"three", framing.Format{HeaderSize: 3}, "", 1<<24 - 1},
		{"four", framing.Format{HeaderSize: 4}, "", 1<<24 - 1},
		{"eight", framing.Format{HeaderSize: 8}, "", 1<<24 - 1},
		{"varint", framing.Format{HeaderSize: framing.Varint}, "", 1<<24 - 1},
		{"five", framing.Format{HeaderSize: 5}, "HeaderSize", 0},
		{"nine", framing.Format{HeaderSize: 9}, "HeaderSize", 0},
		{"minus two", framing.Format{HeaderSize: -2}, "HeaderSize", 0},
		{"huge", framing.Format{HeaderSize: math.MaxInt}, "HeaderSize", 0},
		{"little-endian varint", framing.Format{HeaderSize: framing.Varint, LittleEndian: true}, "LittleEndian", 0},
		{"offset below zero", framing.Format{LengthOffset: -1}, "LengthOffset", 0},
		{"offset beyond", framing.Format{LengthOffset: 256}, "LengthOffset", 0},
		{"offset huge", framing.Format{LengthOffset: math.MaxInt}, "LengthOffset", 0},
		{"adjust beyond", framing.Format{LengthAdjust: 1<<30 + 1}, "LengthAdjust", 0},
		{"adjust below", framing.Format{LengthAdjust: math.MinInt}, "LengthAdjust", 0},
		{"adjust leaves nothing", framing.Format{LengthAdjust: -65536}, "LengthAdjust", 0},
		{"adjust leaves the empty frame", framing.Format{LengthAdjust: -65535}, "", 0},
		{"adjust down", framing.Format{LengthAdjust: -2}, "", 65533},
		{"adjust up", framing.Format{LengthAdjust: 6}, "", 65541},
		{"strip beyond", framing.Format{Strip: 1<<16 + 1}, "Strip", 0},
		{"strip more than can come", framing.Format{HeaderSize: 1, Strip: 300}, "LengthAdjust", 0},
		{"strip into a varint", framing.Format{HeaderSize: framing.Varint, Strip: 1}, "Strip", 0},
		{"strip the prefix of a varint", framing.Format{HeaderSize: framing.Varint, LengthOffset: 1, Strip: 1}, "", 1<<24 - 1},
		{"strip nothing", framing.Format{Strip: math.MinInt}, "", 65537},
		{"max that fits", framing.Format{MaxSize: 65535}, "", 65535},
		{"max beyond the header", framing.Format{MaxSize: 65536}, "MaxSize", 0},
		{"max beyond one byte", framing.Format{HeaderSize: 1, MaxSize: 300}, "MaxSize", 0},
		{"max beyond the adjusted", framing.Format{LengthAdjust: -2, MaxSize: 65534}, "MaxSize", 0},
		{"gtcp's limit of four", framing.Format{HeaderSize: 4, MaxSize: math.MaxInt32}, "", min(math.MaxInt32, math.MaxInt-1<<18)},
		{"off", framing.Format{HeaderSize: 3, MaxSize: -1}, "", 1<<24 - 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.format.Validate()
			if tt.field == "" {
				require.NoError(t, err)
				require.Equal(t, tt.limit, tt.format.MaxPayload())
				return
			}
			var bad *framing.FormatError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, tt.field, bad.Field)
			require.False(t, bad.SafeToRetry())
			require.ErrorContains(t, err, "Format."+tt.field+": ")
			require.Zero(t, tt.format.MaxPayload())
			dst, err := tt.format.Append([]byte("kept"), []byte("x"))
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "kept", string(dst))
			dst, err = tt.format.AppendHeader([]byte("kept"), 1)
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "kept", string(dst))
		})
	}
}

func TestMaxSizeOff(t *testing.T) {
	for _, size := range []int{8, framing.Varint} {
		limit := framing.Format{HeaderSize: size, MaxSize: -1}.MaxPayload()
		require.Greater(t, limit, math.MaxInt/4)
		require.Less(t, limit, math.MaxInt-1<<17, "room for the header must be left")
	}
}

// What a length field cannot say is refused, never cut.
func TestAppendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		format  framing.Format
		payload []byte
		want    string
		is      error
	}{
		{"256 in one byte", framing.Format{HeaderSize: 1}, make([]byte, 256), "framing: frame of 256 bytes exceeds the limit of 255", nil},
		{"over the limit", framing.Format{MaxSize: 3}, make([]byte, 4), "framing: frame of 4 bytes exceeds the limit of 3", nil},
		{"whole frame over the limit", framing.Format{MaxSize: 3, Strip: -1}, make([]byte, 4), "framing: frame of 4 bytes exceeds the limit of 3", nil},
		{"less than the adjustment", framing.Format{LengthAdjust: 6}, make([]byte, 5), "5 bytes", framing.ErrMalformed},
		{"less than a header", framing.Format{Strip: -1}, make([]byte, 1), "1 bytes", framing.ErrMalformed},
		{"less than header and adjustment", framing.Format{Strip: -1, LengthAdjust: 2}, make([]byte, 3), "3 bytes", framing.ErrMalformed},
		{"no varint", framing.Format{HeaderSize: framing.Varint, Strip: -1}, nil, "varint", framing.ErrMalformed},
		{"no varint behind the prefix", framing.Format{HeaderSize: framing.Varint, LengthOffset: 3, Strip: -1}, []byte{1, 2}, "varint", framing.ErrMalformed},
		{"wrong varint", framing.Format{HeaderSize: framing.Varint, Strip: -1}, []byte{2, 'x'}, "varint says 2 where 1", framing.ErrMalformed},
		{"prefix dropped", framing.Format{LengthOffset: 1}, []byte("x"), "Strip", framing.ErrReadOnly},
		{"prefix partly dropped", framing.Format{LengthOffset: 2, Strip: 1}, []byte("x"), "Strip", framing.ErrReadOnly},
		{"body partly dropped", framing.Format{Strip: 3}, []byte("x"), "Strip", framing.ErrReadOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst, err := tt.format.Append([]byte("kept"), tt.payload)
			require.Equal(t, "kept", string(dst))
			require.ErrorContains(t, err, tt.want)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

func TestAppendLeavesPayloadAlone(t *testing.T) {
	payload := []byte("P\xff\xff\xff\xffbody")
	f := framing.Format{HeaderSize: 4, LengthOffset: 1, LengthAdjust: -4, Strip: -1}
	wire, err := f.Append([]byte("before"), payload)
	require.NoError(t, err)
	require.Equal(t, "beforeP\x00\x00\x00\x08body", string(wire))
	require.Equal(t, "P\xff\xff\xff\xffbody", string(payload))
}

func TestAppendHeader(t *testing.T) {
	for _, tt := range []struct {
		format framing.Format
		size   int
		want   string
	}{
		{framing.Format{}, 0, "\x00\x00"},
		{framing.Format{}, 300, "\x01\x2c"},
		{framing.Format{LittleEndian: true}, 300, "\x2c\x01"},
		{framing.Format{HeaderSize: 3}, 1 << 16, "\x01\x00\x00"},
		{framing.Format{HeaderSize: 3, LittleEndian: true}, 1 << 16, "\x00\x00\x01"},
		{framing.Format{HeaderSize: 4}, 1 << 16, "\x00\x01\x00\x00"},
		{framing.Format{HeaderSize: 8, LengthAdjust: -8}, 2, "\x00\x00\x00\x00\x00\x00\x00\x0a"},
		{framing.Format{HeaderSize: framing.Varint}, 300, "\xac\x02"},
		{framing.Format{Strip: 2}, 1, "\x00\x01"},
	} {
		dst, err := tt.format.AppendHeader([]byte("kept"), tt.size)
		require.NoError(t, err)
		require.Equal(t, "kept"+tt.want, string(dst))
	}
	_, err := framing.Format{Strip: -1}.AppendHeader(nil, 4)
	require.ErrorIs(t, err, framing.ErrReadOnly)
	_, err = framing.Format{LengthOffset: 1}.AppendHeader(nil, 4)
	require.ErrorIs(t, err, framing.ErrReadOnly)
	var size *framing.SizeError
	_, err = framing.Format{}.AppendHeader(nil, 65536)
	require.ErrorAs(t, err, &size)
	require.Equal(t, framing.SizeError{Size: 65536, Limit: 65535}, *size)
	_, err = framing.Format{}.AppendHeader(nil, -1)
	require.ErrorIs(t, err, framing.ErrMalformed)
}

// What the caller holds and what the peer promises may together be more than
// an int can say; on 32 bits MaxSize allows that.
func TestHugePromiseBehindWhatTheCallerHolds(t *testing.T) {
	f := framing.Format{HeaderSize: 4, MaxSize: -1}
	header, err := f.AppendHeader(nil, f.MaxPayload())
	require.NoError(t, err)
	held := make([]byte, 1<<18+10)
	got, err := framing.NewReader(steps(header, []byte("abc")), f).ReadFrame(held)
	require.Equal(t, io.ErrUnexpectedEOF, err)
	require.Equal(t, "abc", string(got[len(held):]))
}

func TestSizeErrorOfHugePromises(t *testing.T) {
	for _, tt := range []struct {
		format framing.Format
		header string
		want   uint64
	}{
		{framing.Format{HeaderSize: 8}, "\x80\x00\x00\x00\x00\x00\x00\x00", 1 << 63},
		{framing.Format{HeaderSize: 8}, "\xff\xff\xff\xff\xff\xff\xff\xff", math.MaxUint64},
		{framing.Format{HeaderSize: 8, LengthAdjust: 9}, "\xff\xff\xff\xff\xff\xff\xff\xff", math.MaxUint64},
		{framing.Format{HeaderSize: 8, LengthAdjust: -8}, "\xff\xff\xff\xff\xff\xff\xff\xff", math.MaxUint64 - 8},
		{framing.Format{HeaderSize: 8, Strip: -1}, "\x80\x00\x00\x00\x00\x00\x00\x00", 1<<63 + 8},
		{framing.Format{HeaderSize: 8, MaxSize: -1}, "\x7f\xff\xff\xff\xff\xff\xff\xff", math.MaxInt64},
		{framing.Format{HeaderSize: framing.Varint}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", math.MaxUint64},
		{framing.Format{HeaderSize: 4}, "\xff\xff\xff\xff", math.MaxUint32},
	} {
		_, err := framing.NewReader(steps([]byte(tt.header)), tt.format).Next()
		var size *framing.SizeError
		require.ErrorAs(t, err, &size)
		require.Equal(t, tt.want, size.Size)
		require.Equal(t, uint64(tt.format.MaxPayload()), size.Limit)
	}
}

func TestErrorsHaveAKind(t *testing.T) {
	for _, err := range []error{&framing.SizeError{}, framing.ErrMalformed, fmt.Errorf("%w: why", framing.ErrMalformed)} {
		require.Equal(t, conn.KindProtocol, conn.KindOf(err))
	}
}

func TestWritable(t *testing.T) {
	for _, tt := range []struct {
		format framing.Format
		want   any // nil, an error to be found by Is, or a target of As
	}{
		{framing.Format{}, nil},
		{framing.Format{HeaderSize: framing.Varint}, nil},
		{framing.Format{LengthOffset: 1, HeaderSize: 4, LengthAdjust: -4, Strip: -1}, nil},
		{framing.Format{LengthAdjust: 6, LengthOffset: 0}, nil},
		{framing.Format{LengthOffset: 1}, framing.ErrReadOnly},
		{framing.Format{Strip: 1}, framing.ErrReadOnly},
		{framing.Format{Strip: 3}, framing.ErrReadOnly},
		{framing.Format{HeaderSize: 5}, new(*framing.FormatError)},
	} {
		err := tt.format.Writable()
		switch want := tt.want.(type) {
		case nil:
			require.NoError(t, err)
		case error:
			require.ErrorIs(t, err, want)
			require.NoError(t, tt.format.Validate(), "it can be read")
		default:
			require.ErrorAs(t, err, want)
		}
	}
}
