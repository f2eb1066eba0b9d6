package pipeline_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// Many callers, some of whom give up, over one connection and several: each
// gets its own reply.
func TestManyCallers(t *testing.T) {
	for _, conns := range []int{1, 3} {
		p := open(t, serve(t, echo(framing.Format{})), pipeline.Config{MaxConns: conns, MaxInFlight: 64})
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				for j := range 100 {
					ctx, cancel := context.WithCancel(bg)
					if j%7 == 0 {
						go cancel()
					}
					req := binary.BigEndian.AppendUint32(nil, uint32(i<<16|j))
					got, err := p.Call(ctx, req)
					if err != nil && ctx.Err() == nil || err == nil && string(got) != string(req) {
						t.Errorf("asked %x, got %x, %v", req, got, err)
					}
					cancel()
				}
			})
		}
		callers.Wait()
		require.LessOrEqual(t, p.Stat().Open, conns)
		require.Zero(t, p.Stat().Ends)
	}
}

// Every size of request and reply, lone and together.
func TestSizes(t *testing.T) {
	format := framing.Format{HeaderSize: 4}
	p := openTo(t, conn.Target{Address: serve(t, echo(format))}, format, pipeline.Config{})
	var callers sync.WaitGroup
	for _, size := range []int{0, 1, 4 << 10, 4<<10 + 1, 64 << 10, 1 << 20, 5 << 20} {
		req := make([]byte, size)
		_, _ = rand.Read(req)
		call := func() {
			got, err := p.AppendCall(bg, []byte("kept:"), req)
			if err != nil || string(got) != "kept:"+string(req) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
		}
		call()
		for range 3 {
			callers.Go(call)
		}
	}
	callers.Wait()
}

func TestRequestThatDoesNotFit(t *testing.T) {
	p := open(t, serve(t, echo(framing.Format{})), pipeline.Config{})
	for range 3 {
		dst := []byte("as it was")
		got, err := p.AppendCall(bg, dst, make([]byte, 1<<16))
		var size *framing.SizeError
		require.ErrorAs(t, err, &size)
		require.Equal(t, dst, got)
		got, err = p.Call(bg, []byte("fits"))
		require.NoError(t, err)
		require.Equal(t, "fits", string(got))
	}
	require.Equal(t, 1, p.Stat().Open)
	require.Zero(t, p.Stat().Ends)
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/socket"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	serveOn(t, l, echo(framing.Format{}))
	p := openTo(t, conn.Target{Network: "unix", Address: path}, framing.Format{}, pipeline.Config{})
	got, err := p.Call(bg, []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	testAllocations(t, pipeline.Config{})
	testAllocations(t, pipeline.Config{Match: pipeline.Number{Offset: 3, Size: 4}, CallTimeout: time.Minute})
	testAllocations(t, pipeline.Config{Hooks: []any{newSampler(2)}})
}

func testAllocations(t *testing.T, cfg pipeline.Config) {
	p := open(t, serve(t, echo(framing.Format{})), cfg)
	dst, req := make([]byte, 0, 64), make([]byte, 64)
	call := func(ctx context.Context) {
		if _, err := p.AppendCall(ctx, dst, req); err != nil {
			t.Error(err)
		}
	}
	require.Zero(t, testing.AllocsPerRun(500, func() { call(bg) }), "a lone call")

	// Beside another caller a context that can end costs nothing either.
	ctx, cancel := context.WithCancel(bg)
	var other sync.WaitGroup
	other.Go(func() {
		dst := make([]byte, 0, 64)
		for ctx.Err() == nil {
			_, _ = p.AppendCall(bg, dst, req)
		}
	})
	require.LessOrEqual(t, testing.AllocsPerRun(500, func() { call(ctx) }), 2., "two where the call is alone after all")
	cancel()
	other.Wait()
}
