package puddlepool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// heldStore holds Put up before and after, once armed.
type heldStore struct {
	*store[int]
	armed                            bool
	putting, put, published, proceed chan struct{}
}

func (h *heldStore) Put(e *engine.Entry[int]) {
	if !h.armed {
		h.store.Put(e)
		return
	}
	h.armed = false
	close(h.putting)
	<-h.put
	h.store.Put(e)
	close(h.published)
	<-h.proceed
}

// spent is a context that has ended, and calls f when somebody waits for that.
type spent struct {
	context.Context
	f func()
}

func (s spent) Done() <-chan struct{} {
	s.f()
	return s.Context.Done()
}

// A Return that published its entry after Close had ended what was idle, and
// has not looked again when Close does not wait, breaks nothing.
func TestCloseByForceDuringPut(t *testing.T) {
	h := &heldStore{
		store:     newStore[int](),
		putting:   make(chan struct{}),
		put:       make(chan struct{}),
		published: make(chan struct{}),
		proceed:   make(chan struct{}),
	}
	closed := make(chan int, 2)
	b, err := engine.Open(backend.Factory[int]{
		New:   func(context.Context) (int, error) { return 1, nil },
		Close: func(v int) { closed <- v },
	}, backend.Limits{Max: 1}, h)
	require.NoError(t, err)
	l, err := b.Acquire(context.Background())
	require.NoError(t, err)

	h.armed = true
	returned := make(chan error, 1)
	go func() { returned <- b.Return(l, backend.Keep) }()
	<-h.putting
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err = b.Close(spent{ended, func() {
		close(h.put)
		<-h.published
	}})
	close(h.proceed)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, <-returned)
	require.Equal(t, 1, <-closed)
	require.NoError(t, b.Close(context.Background()))
	require.Empty(t, closed, "closed once")
	require.Zero(t, b.Stat().Open())
}
