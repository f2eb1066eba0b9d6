package framing_test

import (
	"bufio"
	"bytes"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

var large = framing.Format{HeaderSize: 4, MaxSize: 32 << 20}

// keepAll makes what is kept predictable: nothing is at first, no collection takes any,
// and one processor has all.
func keepAll(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	percent, processors := debug.SetGCPercent(-1), runtime.GOMAXPROCS(1)
	t.Cleanup(func() { debug.SetGCPercent(percent); runtime.GOMAXPROCS(processors) })
	runtime.GC()
	runtime.GC() // sync.Pool gives up in two steps
}

// asked is a stream that notes the largest read that was asked of it.
type asked struct {
	loop
	most int
}

func (a *asked) Read(p []byte) (int, error) {
	a.most = max(a.most, len(p))
	return a.loop.Read(p)
}

// The second large frame of a stream is read in one piece into the memory of the
// first, and not moved from smaller memory to larger.
func TestARunOfLargeFramesIsNotMoved(t *testing.T) {
	keepAll(t)
	for _, size := range []int{1 << 20, 3_000_000, 16 << 20} {
		src := &asked{loop: loop{data: encode(t, large, fill(size))}}
		r := framing.NewReader(src, large)
		frame, err := r.Next()
		require.NoError(t, err)
		require.Len(t, frame, size)
		require.Less(t, src.most, size-32<<10, "the first in proportion to what has come")
		src.most = 0
		frame, err = r.Next()
		require.NoError(t, err)
		require.Equal(t, fill(size), frame)
		require.Greater(t, src.most, size-32<<10, "%d bytes", size)
	}
}

// While a Reader waits, and while its caller works on a small frame, others have the
// memory of its last large one.
func TestAWaitingReaderHoldsNoMemory(t *testing.T) {
	keepAll(t)
	wire, small := encode(t, large, fill(4<<20)), encode(t, large, fill(9))
	cut := len(wire) - 10 // what follows comes with the end of the large frame
	for name, then := range map[string]struct {
		come [][]byte
		fail bool
	}{
		"waits":                {[][]byte{nil}, true},
		"waits in header":      {[][]byte{small[:2], nil}, true},
		"a small frame":        {[][]byte{small, nil}, false},
		"one in the same read": {[][]byte{append(wire[cut:len(wire):len(wire)], small...), nil}, false},
	} {
		come := append([][]byte{wire}, then.come...)
		if len(come[1]) > len(small) {
			come[0] = wire[:cut]
		}
		first := framing.NewReader(steps(come...), large)
		frame, err := first.Next()
		require.NoError(t, err)
		kept := &frame[0]
		frame, err = first.Next()
		if then.fail {
			require.True(t, isTimeout(err))
		} else {
			require.NoError(t, err)
			require.Equal(t, fill(9), frame)
		}
		second := framing.NewReader(steps(wire), large)
		frame, err = second.Next()
		require.NoError(t, err)
		require.Equal(t, fill(4<<20), frame)
		require.True(t, kept == &frame[0], name)
		require.NoError(t, second.Release())
	}
}

// What a peer has sent before counts for as much as that, and no more.
func TestAPromiseBehindALargeFrame(t *testing.T) {
	keepAll(t)
	wire := encode(t, large, fill(16<<20))
	promise := []byte("\x01\xff\xff\xff0123456789abcdef") // 33 MB
	good := framing.NewReader(bufio.NewReader(&loop{data: wire}), large)
	frame, err := good.Next()
	require.NoError(t, err)
	kept := &frame[0]
	require.NoError(t, good.Release())

	hostile := framing.NewReader(steps(encode(t, large, fill(1<<20)), promise, nil), large)
	_, err = hostile.Next()
	require.NoError(t, err)
	_, err = hostile.Next()
	require.True(t, isTimeout(err))

	good = framing.NewReader(bufio.NewReader(&loop{data: wire}), large)
	frame, err = good.Next()
	require.NoError(t, err)
	require.True(t, kept == &frame[0], "the hostile peer has got it")
}

// What ReadFrame keeps at a timeout may be more than the kept buffer holds that there
// is. The memory it is moved to is kept for frames of its own size then.
func TestMemoryOfATimeoutIsKeptInItsClass(t *testing.T) {
	keepAll(t)
	const size = 1 << 20
	r := framing.NewReader(steps(encode(t, large, fill(70_000))), large)
	_, err := r.Next()
	require.NoError(t, err)
	require.NoError(t, r.Release()) // leaves a buffer of 128 KiB

	wire := encode(t, large, fill(2*size))
	r = framing.NewReader(newTagged(steps(wire[:4], wire[4:4+size], nil, wire[4+size:]), 16), large)
	_, err = r.ReadFrame(make([]byte, 0, 2*size))
	require.True(t, isTimeout(err))
	frame, err := r.Next()
	require.NoError(t, err)
	require.True(t, bytes.Equal(fill(2*size), frame)) // the first half was moved again

	src := &asked{loop: loop{data: encode(t, large, fill(size))}}
	r = framing.NewReader(src, large)
	frame, err = r.Next()
	require.NoError(t, err)
	require.True(t, bytes.Equal(fill(size), frame))
	require.Greater(t, src.most, size/2, "the frame is read into the memory of the first half")
}
