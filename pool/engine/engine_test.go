package engine_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stack is the plainest store.
type stack[T any] struct {
	mu   sync.Mutex
	idle []*engine.Entry[T]
}

func (s *stack[T]) Add(*engine.Entry[T])    {}
func (s *stack[T]) Remove(*engine.Entry[T]) {}

func (s *stack[T]) Claim() *engine.Entry[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	e := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return e
}

func (s *stack[T]) Put(e *engine.Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, e)
}

// claim takes e if it is idle.
func (s *stack[T]) claim(e *engine.Entry[T]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.idle, e)
	if i < 0 {
		return false
	}
	s.idle = slices.Delete(s.idle, i, i+1)
	return true
}

func (s *stack[T]) Sweep(visit func(*engine.Entry[T])) {
	s.mu.Lock()
	all := slices.Clone(s.idle)
	s.mu.Unlock()
	for _, e := range all {
		if s.claim(e) {
			visit(e)
		}
	}
}

func (s *stack[T]) Idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle)
}

func open[T any](f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	return engine.Open(f, l, &stack[T]{})
}

func TestConformance(t *testing.T) { pooltest.Run(t, open[*pooltest.Resource]) }

// script is a factory whose dials end when the test says.
type script struct {
	mu    sync.Mutex
	dials []chan error
}

func (s *script) factory() backend.Factory[int] {
	return backend.Factory[int]{
		New: func(ctx context.Context) (int, error) {
			s.mu.Lock()
			end := make(chan error, 1)
			s.dials = append(s.dials, end)
			n := len(s.dials)
			s.mu.Unlock()
			select {
			case err := <-end:
				return n, err
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		},
		Close: func(int) {},
	}
}

// got is the outcome of an Acquire.
type got struct {
	l   backend.Lease[int]
	err error
}

func acquire(b backend.Backend[int]) <-chan got {
	c := make(chan got, 1)
	go func() {
		l, err := b.Acquire(context.Background())
		c <- got{l, err}
	}()
	synctest.Wait()
	return c
}

// bubble runs f with a backend whose dials it scripts.
func bubble(t *testing.T, l backend.Limits, f func(t *testing.T, b backend.Backend[int], s *script)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		b, err := open(s.factory(), l)
		require.NoError(t, err)
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = b.Close(ctx) // leases are left
		}()
		f(t, b, s)
	})
}

// A dial that ends goes to the head of the queue, and the head's own dial to
// the caller it was taken from, with its failure.
func TestDialIsInherited(t *testing.T) {
	bubble(t, backend.Limits{Max: 2}, func(t *testing.T, b backend.Backend[int], s *script) {
		first, second := acquire(b), acquire(b)
		s.dials[1] <- nil
		synctest.Wait()
		require.Equal(t, 2, (<-first).l.Value)
		refused := errors.New("refused")
		s.dials[0] <- refused
		synctest.Wait()
		require.ErrorIs(t, (<-second).err, refused)
		require.Len(t, s.dials, 2, "no dial too many")
	})
}

// A caller whose dial went to another that had none gets a new one as soon as
// there is room.
func TestDialIsReplaced(t *testing.T) {
	bubble(t, backend.Limits{Max: 2}, func(t *testing.T, b backend.Backend[int], s *script) {
		ctx, cancel := context.WithCancel(context.Background())
		abandoned := make(chan got, 1)
		go func() { l, err := b.Acquire(ctx); abandoned <- got{l, err} }()
		synctest.Wait()
		_ = acquire(b) // dials, the second of two
		third := acquire(b)
		cancel()
		synctest.Wait()
		require.ErrorIs(t, (<-abandoned).err, context.Canceled)
		s.dials[0] <- errors.New("nobody's failure")
		synctest.Wait()
		require.Len(t, s.dials, 3, "the third has a dial now")
		s.dials[2] <- errors.New("refused")
		synctest.Wait()
		require.EqualError(t, (<-third).err, "refused")
	})
}

func TestWarmWhileResized(t *testing.T) {
	bubble(t, backend.Limits{Max: 2}, func(t *testing.T, b backend.Backend[int], s *script) {
		done := make(chan error, 1)
		go func() { done <- b.Warm(context.Background(), 2) }()
		synctest.Wait()
		b.Clear()
		synctest.Wait()
		require.Len(t, s.dials, 4, "both begin anew")
		require.NoError(t, b.(backend.Resizer).Resize(1))
		synctest.Wait()
		require.Len(t, s.dials, 4, "for the other there is no room")
		require.Equal(t, 1, b.Stat().Dialing)
		s.dials[2] <- nil // one of the two, whichever it is
		s.dials[3] <- nil
		require.NoError(t, <-done)
		require.Equal(t, 1, b.Stat().Idle)
	})
}

func TestResizeToMoreIsNoLimit(t *testing.T) {
	bubble(t, backend.Limits{Max: 1}, func(t *testing.T, b backend.Backend[int], s *script) {
		require.NoError(t, b.(backend.Resizer).Resize(-1))
		for range 10 {
			_ = acquire(b)
		}
		require.Len(t, s.dials, 10)
		require.Zero(t, b.Stat().Max)
	})
}

// Waiting allocates nothing once there have been as many waiters before.
func TestAllocations(t *testing.T) {
	b, err := open(backend.Factory[int]{
		New:   func(context.Context) (int, error) { return 1, nil },
		Close: func(int) {},
	}, backend.Limits{Max: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close(context.Background())) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cycle := func() {
		l, err := b.Acquire(ctx)
		if err != nil || b.Return(l, backend.Keep) != nil {
			t.Fatal("cannot acquire or return")
		}
	}
	if raceEnabled {
		cycle()
		t.Skip("the race detector allocates")
	}
	require.Zero(t, testing.AllocsPerRun(1000, cycle))

	turn := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(turn)
	wg.Go(func() {
		for range turn {
			cycle()
		}
	})
	contended := func() {
		l, err := b.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		turn <- struct{}{}
		for b.Stat().Waiting == 0 {
			runtime.Gosched()
		}
		if b.Return(l, backend.Keep) != nil {
			t.Fatal("cannot return")
		}
	}
	require.LessOrEqual(t, testing.AllocsPerRun(200, contended), 0.1)
}
