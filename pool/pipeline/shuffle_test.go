package pipeline_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// shuffle serves a connection with replies in random order, some of them late.
func shuffle(nc net.Conn) {
	defer nc.Close()
	r, w := framing.NewReader(nc, framing.Format{}), framing.NewWriter(nc, framing.Format{})
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	var held [][]byte
	for {
		frame, err := r.Next()
		if err != nil {
			return
		}
		held = append(held, append([]byte(nil), frame...))
		for len(held) > 0 && (!r.Buffered() || len(held) > 64 || rng.IntN(4) == 0) {
			i := rng.IntN(len(held))
			if err := w.WriteFrame(held[i]); err != nil {
				return
			}
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		if err := w.Flush(); err != nil {
			return
		}
	}
}

// Many callers, some of whom give up, in front of a server that shuffles its
// replies: each gets its own. GTCP_MATCH_CALLS sets how many calls.
func TestShuffledReplies(t *testing.T) {
	total := 30_000
	if v := os.Getenv("GTCP_MATCH_CALLS"); v != "" {
		var err error
		total, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { shuffle(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	p := open(t, l.Addr().String(), pipeline.Config{Match: pipeline.Number{Size: 2}})
	var callers sync.WaitGroup
	var replies, given atomic.Int64
	for i := range 256 {
		callers.Go(func() {
			dst := make([]byte, 0, 64)
			for j := range total / 256 {
				ctx, cancel := context.WithCancel(bg)
				if j%7 == 0 {
					go cancel()
				}
				req := append(binary.BigEndian.AppendUint16(nil, uint16(i)), fmt.Sprintf("%d/%d", i, j)...)
				got, err := p.AppendCall(ctx, dst[:0], req)
				switch {
				case err == nil && string(got) == string(req):
					replies.Add(1)
				case err != nil && ctx.Err() != nil:
					given.Add(1)
				default:
					t.Errorf("asked %q, got %q, %v", req, got, err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	t.Logf("%d replies, %d given up, %d late", replies.Load(), given.Load(), p.Stat().Late)
	require.Equal(t, 1, p.Stat().Open)
	require.Zero(t, p.Stat().Ends)
}
