package gtcp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

const (
	soakCallers         = 48
	soakNumberedCallers = 256 // with Match
	// Every 400 ms all but so many rest for 100 ms: a lone caller has ways of
	// its own through the code.
	soakTireless = 2
	soakTimeout  = 300 * time.Millisecond // of a call
	soakHang     = 20 * time.Second       // beyond its timeout
	soakFaults   = 10                     // at least so many, and a reply, however short the soak
)

// soak calls a server through a proxy that breaks connections, with a server
// that is restarted and callers that give up, and checks each reply.
type soak struct {
	mode       soakMode
	client     *gtcp.Client
	proxy      *faultproxy.Proxy
	executions ledger
	ids        atomic.Uint64

	calls, replies, failures, unwritten, cancelled, restarts, mismatches, hangs, pushes atomic.Uint64
}

// soakMode is a kind of Client. A numbered one has Match, and its server replies in
// any order, and sends frames of its own to a shared one.
type soakMode struct{ shared, numbered bool }

func (m soakMode) String() string {
	return map[bool]string{false: "exclusive", true: "shared"}[m.shared] + map[bool]string{true: " with Match"}[m.numbered]
}

func (m soakMode) callers() int {
	if m.numbered {
		return soakNumberedCallers
	}
	return soakCallers
}

// TestClientSoak runs for a second, or for as long as GTCP_SOAK says; then,
// with -v, it prints what happened.
func TestClientSoak(t *testing.T) {
	d := time.Second
	if long := os.Getenv("GTCP_SOAK"); long != "" {
		var err error
		d, err = time.ParseDuration(long)
		require.NoError(t, err)
	}
	warm, err := net.Listen("tcp", "127.0.0.1:0") // opens the runtime's poller
	require.NoError(t, err)
	require.NoError(t, warm.Close())
	goroutines, files := runtime.NumGoroutine(), openFiles()
	modes := []soakMode{{shared: false}, {shared: true}, {false, true}, {true, true}}
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) { newSoak(t, mode).run(t, d/time.Duration(len(modes))) })
	}
	begun := time.Now()
	for runtime.NumGoroutine() > goroutines || openFiles() > files {
		if time.Since(begun) > soakHang {
			t.Error("goroutines or files are left")
			break
		}
		runtime.Gosched()
	}
	t.Logf("at the start and now: goroutines %d, %d; files %d, %d",
		goroutines, runtime.NumGoroutine(), files, openFiles())
}

func newSoak(t *testing.T, mode soakMode) *soak {
	s := &soak{mode: mode}
	proxy, err := faultproxy.New("127.0.0.1:0", faultproxy.Random(rand.Uint64(), faultproxy.Rates{
		Refuse: 0.03, Truncate: 0.3, HalfClose: 0.2, Reset: 0.4, Stall: 0.03,
		Split: 0.1, Delay: 0.1, MaxBytes: 16 << 10,
	}))
	require.NoError(t, err)
	s.proxy = proxy
	config := gtcp.ClientConfig{
		Shared: mode.shared,
		Retry:  retry.Policy{MaxAttempts: 4, Backoff: retry.Constant(time.Millisecond)},
		Pool:   pool.Config{MaxConns: mode.callers() / 2, DialBackoff: conn.DialBackoff{Min: time.Millisecond, Max: 10 * time.Millisecond}},
		Pipeline: pipeline.Config{
			MaxConns: 4, MaxInFlight: mode.callers() / 2, StallTimeout: soakTimeout,
			DialBackoff: conn.DialBackoff{Max: 20 * time.Millisecond},
		},
	}
	if mode.numbered {
		config.Match = number
		config.Pipeline.MaxLifetime = soakTimeout
		config.Pipeline.Heartbeat = pipeline.Heartbeat{Interval: soakTimeout / 4, Request: numbered(0, "heartbeat")}
		config.Pipeline.OnPush = func(context.Context, *pipeline.Push) { s.pushes.Add(1) }
	}
	s.client = gtcp.NewClient(proxy.Addr(), config)
	return s
}

func (s *soak) run(t *testing.T, d time.Duration) {
	stop := make(chan struct{})
	var servers, callers sync.WaitGroup
	servers.Go(func() { s.serve(t, stop) })
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	begun := time.Now()
	for i := range s.mode.callers() {
		callers.Go(func() {
			for ctx.Err() == nil || s.proxy.Counts().Faults() < soakFaults || s.replies.Load() == 0 {
				s.call()
				if i >= soakTireless {
					rest(begun)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		callers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(d + soakTimeout + soakHang):
		stacks := make([]byte, 1<<20)
		t.Fatalf("calls hang:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	require.NoError(t, s.client.Shutdown(context.Background()))
	close(stop)
	servers.Wait()
	require.NoError(t, s.proxy.Close())

	t.Logf("calls %d: replies %d, failures %d (of those nothing written %d), cancelled %d; server restarts %d, pushes %d",
		s.calls.Load(), s.replies.Load(), s.failures.Load(), s.unwritten.Load(), s.cancelled.Load(), s.restarts.Load(), s.pushes.Load())
	c := s.proxy.Counts()
	t.Logf("faults %d, splits %d, delays %d: %+v", c.Faults(), c.Splits, c.Delays, c)
	doubles, phantoms, twice := s.executions.audit()
	t.Logf("mismatches %d, hangs %d, double executions %d (of idempotent requests %d), executions of requests not written %d",
		s.mismatches.Load(), s.hangs.Load(), doubles, twice, phantoms)
	require.NotZero(t, s.replies.Load())
	require.GreaterOrEqual(t, c.Faults(), uint64(soakFaults))
	require.Zero(t, s.mismatches.Load())
	require.Zero(t, s.hangs.Load())
	require.Zero(t, doubles)
	require.Zero(t, phantoms)
}

func rest(begun time.Time) {
	const work, all = 300 * time.Millisecond, 400 * time.Millisecond
	if at := time.Since(begun) % all; at > work {
		<-time.After(all - at)
	}
}

// serve runs one server after another until stop. Meanwhile it resets all
// connections again and again: plans alone have few faults where a connection
// lasts, one whose bytes trickle for instance.
func (s *soak) serve(t *testing.T, stop chan struct{}) {
	for ended := false; !ended; s.restarts.Add(1) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		h := &server.FrameHandler{Handle: s.handle}
		if s.mode.numbered {
			h.Handle, h.Concurrency, h.Unordered = s.handleNumbered, 64, true
		}
		srv := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		s.proxy.SetTarget(l.Addr().String())
		for range 1 + rand.IntN(3) {
			select {
			case <-stop:
				ended = true
			case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
			}
			s.proxy.ResetAll()
		}
		_ = srv.Close()
		<-done
	}
}

// handle replies what only this request's reply can be, and counts it.
func (s *soak) handle(_ context.Context, req []byte) ([]byte, error) {
	if len(req) < 8 {
		return nil, fmt.Errorf("request of %d bytes", len(req))
	}
	s.executions.of(binary.BigEndian.Uint64(req)).Add(1)
	return soakReply(nil, req), nil
}

// handleNumbered is handle for requests with a number. Some take longer than those
// behind them, and some are told of.
func (s *soak) handleNumbered(ctx context.Context, req []byte) ([]byte, error) {
	if string(req[number.Size:]) == "heartbeat" {
		return req, nil
	}
	if rand.IntN(8) == 0 {
		<-time.After(time.Duration(rand.IntN(1000)) * time.Microsecond)
	}
	if s.mode.shared && rand.IntN(16) == 0 {
		_ = server.Send(ctx, numbered(0, "a push"))
	}
	reply, err := s.handle(ctx, req[number.Size:])
	return append(slices.Clone(req[:number.Size]), reply...), err
}

func soakReply(dst, req []byte) []byte {
	dst = append(dst, req[:8]...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(req))
}

func (s *soak) call() {
	id := s.ids.Add(1)
	req := make([]byte, 8+rand.IntN(56))
	if rand.IntN(50) == 0 {
		req = make([]byte, 8+rand.IntN(20_000))
	}
	binary.BigEndian.PutUint64(req, id)
	var own []byte // the number of the caller
	if s.mode.numbered {
		own = numbered(uint16(id%7), "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), soakTimeout)
	defer cancel()
	if rand.IntN(10) == 0 {
		timer := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	idempotent := rand.IntN(4) == 0
	begun := time.Now()
	reply, err := s.client.CallWith(ctx, nil, slices.Concat(own, req), gtcp.CallOptions{Idempotent: idempotent})
	s.calls.Add(1)
	if time.Since(begun) > soakTimeout+soakHang {
		s.hangs.Add(1)
	}
	entry := s.executions.of(id)
	if idempotent {
		entry.Or(declaredIdempotent)
	}
	if err == nil {
		s.replies.Add(1)
		if string(reply) != string(soakReply(own, req)) || entry.Load()&executed == 0 {
			s.mismatches.Add(1)
		}
		return
	}
	s.failures.Add(1)
	if errors.Is(err, context.Canceled) {
		s.cancelled.Add(1)
	}
	if !idempotent && retry.SafeToRetry(err) {
		s.unwritten.Add(1)
		entry.Or(saidUnwritten)
	}
}

// ledger counts how often each request was executed.
type ledger struct {
	mu     sync.RWMutex
	chunks [][]atomic.Uint32
}

// What an entry of a ledger holds: the number of executions, and two marks.
const (
	executed           = 1<<16 - 1
	declaredIdempotent = 1 << 16
	saidUnwritten      = 1 << 17

	ledgerChunk = 1 << 16
)

// of returns the entry of a request; ids are given out in order.
func (l *ledger) of(id uint64) *atomic.Uint32 {
	i, j := int(id/ledgerChunk), int(id%ledgerChunk)
	l.mu.RLock()
	if i < len(l.chunks) {
		defer l.mu.RUnlock()
		return &l.chunks[i][j]
	}
	l.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i >= len(l.chunks) {
		l.chunks = append(l.chunks, make([]atomic.Uint32, ledgerChunk))
	}
	return &l.chunks[i][j]
}

// audit counts the requests executed twice without leave, those executed
// though their calls said that nothing was written, and those executed twice
// with leave. It is for the end, when nothing executes any more.
func (l *ledger) audit() (doubles, phantoms, twice int) {
	for _, chunk := range l.chunks {
		for i := range chunk {
			v := chunk[i].Load()
			switch n := v & executed; {
			case v&saidUnwritten != 0 && n > 0:
				phantoms++
			case n > 1 && v&declaredIdempotent != 0:
				twice++
			case n > 1:
				doubles++
			}
		}
	}
	return doubles, phantoms, twice
}

// openFiles is the number of files the process has open, 0 where it is not
// known.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
