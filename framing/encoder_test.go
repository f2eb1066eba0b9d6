package framing_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// The Encoder is its format's Append, however often it is used.
func TestEncoder(t *testing.T) {
	for _, format := range []framing.Format{
		{},
		{HeaderSize: 1},
		{HeaderSize: 8, LittleEndian: true},
		{HeaderSize: framing.Varint},
		{HeaderSize: 4, LengthAdjust: -4},
		{HeaderSize: 4, LengthAdjust: -4, Strip: -1},
		{HeaderSize: 4, LengthOffset: 1, LengthAdjust: -5, Strip: -1},
		{MaxSize: 8, SkipOversize: true},
	} {
		t.Run(fmt.Sprintf("%+v", format), func(t *testing.T) {
			e, err := framing.NewEncoder(format)
			require.NoError(t, err)
			for _, size := range []int{0, 1, 5, 8, 9, 255, 256, 1 << 16, 5} {
				payload := bytes.Repeat([]byte{7}, size)
				want, wantErr := format.Append([]byte("before"), payload)
				got, err := e.Append([]byte("before"), payload)
				require.Equal(t, wantErr, err)
				require.Equal(t, want, got)
				want, wantErr = format.AppendHeader([]byte("before"), size)
				got, err = e.AppendHeader([]byte("before"), size)
				require.Equal(t, wantErr, err)
				require.Equal(t, want, got)
			}
		})
	}
}

func TestEncoderOfNoFormat(t *testing.T) {
	bad := framing.Format{HeaderSize: 5}
	e, err := framing.NewEncoder(bad)
	require.Equal(t, bad.Validate(), err)
	require.Equal(t, framing.Encoder{}, e)
}

func TestZeroEncoder(t *testing.T) {
	var e framing.Encoder
	frame, err := e.Append(nil, []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "\x00\x05hello", string(frame))
	header, err := e.AppendHeader(nil, 258)
	require.NoError(t, err)
	require.Equal(t, "\x01\x02", string(header))
	_, err = e.Append(nil, make([]byte, 1<<16))
	var size *framing.SizeError
	require.ErrorAs(t, err, &size)
}

func TestEncoderAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	e, err := framing.NewEncoder(framing.Format{HeaderSize: 4})
	require.NoError(t, err)
	dst, payload := make([]byte, 0, 128), make([]byte, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if frame, err := e.Append(dst, payload); err != nil || len(frame) != 68 {
			t.Error(len(frame), err)
		}
	}))
}

func ExampleEncoder() {
	encode, err := framing.NewEncoder(framing.Format{HeaderSize: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	var batch []byte
	for _, payload := range []string{"one", "two"} {
		if batch, err = encode.Append(batch, []byte(payload)); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%q\n", batch)
	// Output: "\x00\x00\x00\x03one\x00\x00\x00\x03two"
}
