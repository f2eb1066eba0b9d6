package pipeline_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// TestPhases has a call of each kind: alone and among others, with replies in
// order and by number, over a connection that is dialed for it, and given up.
func TestPhases(t *testing.T) {
	const s = time.Second
	slowly := func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		time.Sleep(2 * s)
		return l.Dial(ctx)
	}
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": pipeline.Number{Size: 1}} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			setup{dial: slowly, cfg: pipeline.Config{Match: match, StallTimeout: -1, Hooks: []any{r}}}.run(t, func(b *bubble) {
				reply := func(p *peer) { // in two pieces
					frame, err := p.frames.Next()
					require.NoError(b, err)
					frame, err = framing.Format{}.Append(nil, frame)
					require.NoError(b, err)
					time.Sleep(s)
					p.raw(frame[:3])
					time.Sleep(s)
					p.raw(frame[3:])
				}
				last := func() pipeline.CallEvent { return r.calls[len(r.calls)-1] }

				o := b.call(bg, "_dials, alone")
				p := b.accept()
				reply(p)
				o.replied("_dials, alone")
				require.Equal(b, conn.Phases{Acquired: 2 * s, Dialed: 2 * s, Written: 2 * s, FirstByte: 3 * s}, last().Phases)
				require.Equal(b, 4*s, last().Duration)

				first, second := b.call(bg, "_alone"), b.call(bg, "_second")
				reply(p)
				first.replied("_alone")
				require.Equal(b, conn.Phases{Acquired: 1, Written: 1, FirstByte: s}, last().Phases, "at once, which is not never")
				reply(p)
				second.replied("_second")
				require.Equal(b, conn.Phases{Acquired: 1, Written: 1, FirstByte: 3 * s}, last().Phases)
				require.Equal(b, 4*s, last().Duration)

				ctx, cancel := context.WithTimeout(bg, 3*s/2)
				defer cancel()
				given := b.call(ctx, "_given up")
				reply(p)
				given.failed(context.DeadlineExceeded, true)
				require.Equal(b, 3*s/2, last().Duration)
			})
		})
	}
}

// A call that is given up tells how far it came.
func TestPhasesOfACallThatIsGivenUp(t *testing.T) {
	const s = time.Second
	r := &recorder{}
	setup{cfg: pipeline.Config{MaxInFlight: 2, StallTimeout: -1, Hooks: []any{r}}}.run(t, func(b *bubble) {
		first, second := b.call(bg, "first"), b.call(bg, "second")
		p := b.accept()
		ctx, cancel := context.WithTimeout(bg, 3*s)
		defer cancel()
		third := b.call(ctx, "third")
		p.asked("first")
		p.asked("second")
		time.Sleep(s)
		p.reply("first", "second")
		first.replied("first")
		second.replied("second")
		p.asked("third")
		third.failed(context.DeadlineExceeded, true)
		require.Equal(b, conn.Phases{Acquired: s, Written: s}, r.calls[2].Phases)
		p.reply("late")

		late, cancel := context.WithCancel(bg)
		cancel()
		_, err := b.Call(late, []byte("never"))
		require.ErrorIs(b, err, context.Canceled)
		require.Zero(b, r.calls[3].Phases)
		require.Zero(b, r.calls[3].ID)
	})
}

// TestPhasesAreInOrder has callers on real sockets, where another goroutine may
// write a request before its caller hears that it was accepted.
func TestPhasesAreInOrder(t *testing.T) {
	addr, stop := serveUpper()
	r := &recorder{}
	p, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{Hooks: []any{r}})
	require.NoError(t, err)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 200 {
				if _, err := p.Call(t.Context(), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	require.NoError(t, p.Close())
	require.NoError(t, stop())
	require.Len(t, r.calls, 1600)
	for _, e := range r.calls {
		if e.Written > 0 && e.FirstByte > 0 {
			require.LessOrEqual(t, e.Acquired, e.Written)
			require.LessOrEqual(t, e.Written, e.FirstByte)
			require.LessOrEqual(t, e.FirstByte, e.Duration)
		}
	}
}

// sampler is a hook that wants to hear of one call in some.
type sampler struct {
	every, n  atomic.Int64
	told, odd atomic.Int64
}

func newSampler(every int64) *sampler {
	s := &sampler{}
	s.every.Store(every)
	return s
}

func (s *sampler) BeforeCall(ctx context.Context, _ string) context.Context {
	if s.n.Add(1)%s.every.Load() != 0 {
		return nil
	}
	return ctx
}

func (s *sampler) AfterCall(_ context.Context, e pipeline.CallEvent) {
	s.told.Add(1)
	if e.Err != nil || e.Acquired > e.Written || e.Written == 0 || e.Written > e.FirstByte || e.FirstByte > e.Duration {
		s.odd.Add(1)
	}
}

// A hook may be told of some calls only. Their phases are right among calls for
// which no times are taken.
func TestPhasesOfSomeCalls(t *testing.T) {
	for name, match := range map[string]pipeline.Matcher{"in order": nil, "by number": pipeline.Number{Size: 2}} {
		t.Run(name, func(t *testing.T) {
			s := newSampler(3)
			p := open(t, serve(t, echo(framing.Format{})), pipeline.Config{Match: match, Hooks: []any{s}})
			const callers, each = 8, 300
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					request := fmt.Appendf(nil, "caller %d", i)
					for range each {
						if _, err := p.Call(bg, request); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			require.EqualValues(t, callers*each/3, s.told.Load())
			require.Zero(t, s.odd.Load())
		})
	}
}
