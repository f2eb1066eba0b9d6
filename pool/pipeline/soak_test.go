package pipeline_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// Callers that give up at random, a server that shuffles its replies, and a
// network that splits, delays, cuts, resets and swallows: no caller gets
// another's reply, no request that is safe to retry was seen by the server, and
// nothing is left. GTCP_SOAK sets how long: 2m.
func TestSoakOfNumberedCalls(t *testing.T) {
	length := 500 * time.Millisecond
	if v := os.Getenv("GTCP_SOAK"); v != "" {
		var err error
		length, err = time.ParseDuration(v)
		require.NoError(t, err)
	}
	s := &soak{}
	proxy, err := faultproxy.New(s.listen(t), faultproxy.Random(rand.Uint64(), faultproxy.Rates{
		Refuse: 0.03, Truncate: 0.2, HalfClose: 0.1, Reset: 0.3, Stall: 0.1, Split: 0.2, Delay: 0.2, MaxBytes: 32 << 10,
	}))
	require.NoError(t, err)
	defer func() { require.NoError(t, proxy.Close()) }()
	p := openTo(t, conn.Target{Address: proxy.Addr()}, framing.Format{}, pipeline.Config{
		MaxConns: 3, Match: twoBytes, StallTimeout: time.Second, MaxLifetime: 200 * time.Millisecond,
		Heartbeat: pipeline.Heartbeat{Interval: 100 * time.Millisecond, Request: []byte("??beat")},
		OnPush:    func(context.Context, *pipeline.Push) { s.pushes.Add(1) },
	})
	ctx, cancel := context.WithTimeout(bg, length)
	defer cancel()
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				s.call(t, p, uint16(i), uint64(i)<<32|uint64(n))
			}
		})
	}
	callers.Wait()
	t.Logf("%d replies, %d given up, %d failed, %d pushes; dials %d, ends %v, faults %+v",
		s.replies.Load(), s.givenUp.Load(), s.failed.Load(), s.pushes.Load(), p.Stat().Dials, p.Stat().Ends, proxy.Counts())
	require.NotZero(t, s.replies.Load())
	require.NoError(t, p.Close())
	require.Zero(t, p.Stat().InFlight)
	s.safe.Range(func(request, err any) bool {
		_, seen := s.seen.Load(request)
		require.False(t, seen, "%x is safe to retry, and was executed: %v", request, err)
		return true
	})
}

type soak struct {
	seen, safe                       sync.Map // what the server has seen, and what it must not have
	replies, givenUp, failed, pushes atomic.Int64
}

// listen starts a server that shuffles its replies and pushes now and then.
func (s *soak) listen(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { shuffle(&watched{nc, s}) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return l.Addr().String()
}

// watched notes what arrives, frame by frame, and pushes.
type watched struct {
	net.Conn
	s *soak
}

func (w *watched) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 2; { // whole frames, as shuffle writes them
		n := 2 + int(binary.BigEndian.Uint16(rest))
		w.s.seen.Store(string(rest[4:n]), true)
		rest = rest[n:]
	}
	if rand.IntN(20) == 0 {
		b = append(append([]byte(nil), b...), 0, 4, 0, 0, 'h', 'i')
		n, err := w.Conn.Write(b)
		return max(n-6, 0), err
	}
	return w.Conn.Write(b)
}

func (s *soak) call(t *testing.T, p *pipeline.Pipeline, own uint16, id uint64) {
	ctx, cancel := context.WithTimeout(bg, 2*time.Second)
	defer cancel()
	if rand.IntN(8) == 0 {
		var soon context.CancelFunc
		ctx, soon = context.WithTimeout(ctx, rand.N(2*time.Millisecond))
		defer soon()
	}
	request := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, own), id)
	request = append(request, make([]byte, rand.IntN(200))...)
	reply, err := p.Call(ctx, request)
	var e *pipeline.Error
	switch {
	case err == nil && string(reply) == string(request):
		s.replies.Add(1)
	case err == nil:
		t.Errorf("asked %x, got %x", request, reply)
	case errors.As(err, &e) && e.SafeToRetry():
		s.safe.Store(string(request[2:]), err)
		s.failed.Add(1)
	case ctx.Err() != nil:
		s.givenUp.Add(1)
	default:
		s.failed.Add(1)
	}
}
