package server_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// recorder implements all hooks.
type recorder struct {
	mu      sync.Mutex
	events  []server.RequestEvent
	values  []any
	starts  []server.RequestStart
	accepts []error
	panics  []any
}

type recorderKey struct{}

func (r *recorder) BeforeRequest(ctx context.Context, e server.RequestStart) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts = append(r.starts, e)
	return context.WithValue(ctx, recorderKey{}, len(r.starts))
}

func (r *recorder) AfterRequest(ctx context.Context, e server.RequestEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	r.values = append(r.values, ctx.Value(recorderKey{}))
}

func (r *recorder) AfterAcceptError(_ net.Addr, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepts = append(r.accepts, err)
}

func (r *recorder) AfterPanic(_ uint64, v any, stack []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(stack) > 0 {
		r.panics = append(r.panics, v)
	}
}

// byRequest returns the events in the order of the requests.
func (r *recorder) byRequest() []server.RequestEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func TestRequestHooks(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{MaxSize: 100, SkipOversize: true}, func(ctx context.Context, req []byte) ([]byte, error) {
				time.Sleep(time.Second)
				switch string(req) {
				case "fail":
					return nil, errors.New("failed")
				case "quiet":
					return nil, server.ErrNoReply
				case "panic":
					panic("panicked")
				}
				return append([]byte("> "), req...), nil
			})
			h.Concurrency = n
			h.ErrorReply = func(context.Context, error) []byte { return []byte("error") }
			r := &recorder{}
			s := &server.Server{Handler: h, Hooks: []any{r}}
			l := newMemServer(t, s)
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			c := newClient(t, nc)
			for _, request := range []string{"abc", "fail", "quiet"} {
				c.send(request)
				time.Sleep(2 * time.Second)
			}
			_, err = c.Write(append([]byte{0, 101}, make([]byte, 101)...))
			require.NoError(t, err)
			c.expect("> abc", "error", "error")
			c.send("panic")
			c.expectEnd()
			require.NoError(t, c.Close())
			synctest.Wait()

			events := r.byRequest()
			require.Len(t, events, 5)
			for i, want := range []server.RequestEvent{
				{RequestBytes: 3, ReplyBytes: 5, HandleTime: time.Second, Replied: true},
				{RequestBytes: 4, ReplyBytes: 5, HandleTime: time.Second, Replied: true},
				{RequestBytes: 5, HandleTime: time.Second},
				{ReplyBytes: 5, Replied: true, Refused: true},
				{RequestBytes: 5, HandleTime: time.Second, Panicked: true},
			} {
				got := events[i]
				require.EqualValues(t, 1, got.ConnID)
				require.NotNil(t, got.Peer)
				require.Equal(t, i+1, r.values[i])
				if got.RequestBytes > 0 {
					require.Equal(t, got.RequestBytes, r.starts[i].Bytes)
				}
				want.ConnID, want.Peer, want.Start, want.Err = 1, got.Peer, got.Start, got.Err
				require.Equal(t, want, got, "request %d", i)
			}
			require.EqualError(t, events[1].Err, "failed")
			require.ErrorIs(t, events[2].Err, server.ErrNoReply)
			require.ErrorAs(t, events[3].Err, new(*framing.SizeError))
			require.Equal(t, []any{"panicked"}, r.panics)
		})
	})
}

// The time that a request took to arrive is its own, and not that of the next one.
func TestRequestHooksTellTheReadTime(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := echo()
			h.Concurrency = n
			r := &recorder{}
			l := newMemServer(t, &server.Server{Handler: h, Hooks: []any{r}})
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			c := newClient(t, nc)
			for _, part := range []string{"\x00\x05ab", "cd", "e\x00\x01x\x00\x03", "yyy"} {
				_, err := c.Write([]byte(part))
				require.NoError(t, err)
				time.Sleep(time.Second)
			}
			c.expect("abcde", "x", "yyy")
			require.NoError(t, c.Close())
			synctest.Wait()
			var took []time.Duration
			for _, e := range r.byRequest() {
				took = append(took, e.ReadTime)
			}
			require.Equal(t, []time.Duration{2 * time.Second, 0, time.Second}, took)
		})
	})
}

// The time in the queue of a Limiter, and its refusals, are in the events.
func TestRequestHooksAndLimiter(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
				time.Sleep(time.Second)
				return req, nil
			})
			h.Concurrency, h.ErrorReply = n, overloaded
			h.Limiter = &server.Limiter{Max: 1, MaxWait: 1500 * time.Millisecond}
			r := &recorder{}
			l := newMemServer(t, &server.Server{Handler: h, Hooks: []any{r}})
			var clients []*client
			for range 3 {
				nc, err := l.Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				c.send("x")
				synctest.Wait()
				clients = append(clients, c)
			}
			clients[0].expect("x")
			clients[1].expect("x")
			clients[2].expect("overloaded")
			synctest.Wait()
			events := r.byRequest()
			require.Len(t, events, 3)
			slices.SortFunc(events, func(a, b server.RequestEvent) int { return int(a.ConnID) - int(b.ConnID) })
			require.Zero(t, events[0].QueueTime)
			require.Equal(t, time.Second, events[1].QueueTime)
			require.Equal(t, 1500*time.Millisecond, events[2].QueueTime)
			require.True(t, events[2].Refused)
			require.ErrorIs(t, events[2].Err, server.ErrOverloaded)
			require.True(t, events[2].Replied)
		})
	})
}

func TestAcceptErrorHook(t *testing.T) {
	r := &recorder{}
	l := memnet.Listen("server")
	s := &server.Server{Handler: echo(), Hooks: []any{r}}
	startOn(t, s, l)
	l.FailAccept(temporary(true))
	require.Eventually(t, func() bool { return s.Stat().AcceptErrors == 1 }, patience, time.Millisecond)
	requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
	require.Len(t, r.accepts, 1)
	require.ErrorIs(t, r.accepts[0], temporary(true))
}

// panicking is a hook that panics.
type panicking struct{}

func (panicking) AfterRequest(context.Context, server.RequestEvent) { panic("in a hook") }

func TestRequestHookThatPanics(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := echo()
		h.Concurrency = n
		log := &logbook{}
		s := &server.Server{Handler: h, Hooks: []any{panicking{}}, Logger: log.logger()}
		c := dial(t, start(t, s))
		c.send("a")
		c.expect("a")
		c.expectEnd()
		require.EqualValues(t, 1, s.Stat().Panics)
	})
}

func TestHookOfNoKindIsRefused(t *testing.T) {
	s := &server.Server{Handler: echo(), Hooks: []any{&recorder{}, 5}}
	require.ErrorContains(t, s.Validate(), "Hooks[1]")
}

func TestConns(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h, entered, let := gated()
			h.Concurrency = n
			s := &server.Server{Handler: h}
			l := newMemServer(t, s)
			began := time.Now()
			var clients []*client
			for range 3 {
				nc, err := l.Dial(t.Context())
				require.NoError(t, err)
				clients = append(clients, newClient(t, nc))
				synctest.Wait()
			}
			clients[0].send("a")
			<-entered
			let <- struct{}{}
			clients[0].expect("a")
			time.Sleep(10 * time.Second)
			clients[1].send("abc")
			<-entered
			require.NoError(t, clients[2].Close())
			synctest.Wait()

			all := slices.Collect(s.Conns())
			require.Len(t, all, 2)
			require.EqualValues(t, 1, all[0].ID)
			require.EqualValues(t, 2, all[1].ID)
			require.Equal(t, server.StateIdle, all[0].State)
			require.Equal(t, server.StateActive, all[1].State)
			require.True(t, all[0].AcceptedAt.Equal(began))
			require.WithinDuration(t, began, all[0].IdleSince, 3*time.Second)
			require.Zero(t, all[1].IdleSince)
			require.EqualValues(t, 1, all[0].Requests)
			require.EqualValues(t, 3, all[0].BytesRead)
			require.EqualValues(t, 3, all[0].BytesWritten)
			require.Zero(t, all[0].InProgress)
			require.Equal(t, 1, all[1].InProgress)
			require.Equal(t, clients[1].LocalAddr().String(), all[1].RemoteAddr.String())
			require.Equal(t, clients[1].RemoteAddr().String(), all[1].LocalAddr.String())
			close(let)
			clients[1].expect("abc")
			for range s.Conns() {
				break
			}

			require.False(t, s.CloseConn(3), "its client has closed it")
			require.False(t, s.CloseConn(4))
			require.True(t, s.CloseConn(1))
			synctest.Wait()
			_, err := clients[0].Read(make([]byte, 1))
			require.Error(t, err)
			all = slices.Collect(s.Conns())
			require.Len(t, all, 1)
			require.EqualValues(t, 2, all[0].ID)
		})
	})
}

// Each request in progress is counted, with Concurrency too.
func TestRequestsInProgress(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h, entered, let := gated()
			h.Concurrency = n
			s := &server.Server{Handler: h}
			nc, err := newMemServer(t, s).Dial(t.Context())
			require.NoError(t, err)
			c := newClient(t, nc)
			c.send("a", "b", "c")
			synctest.Wait()
			require.Len(t, entered, max(1, min(n, 3)))
			require.Equal(t, len(entered), s.Stat().InProgress)
			for st := range s.Conns() {
				require.Equal(t, len(entered), st.InProgress)
			}
			close(let)
			c.expect("a", "b", "c")
			synctest.Wait()
			require.Zero(t, s.Stat().InProgress)
		})
	})
}

// onlyStart and onlyEnd are hooks of one kind.
type onlyStart struct{ r *recorder }

func (h onlyStart) BeforeRequest(ctx context.Context, e server.RequestStart) context.Context {
	return h.r.BeforeRequest(ctx, e)
}

type onlyEnd struct{ r *recorder }

func (h onlyEnd) AfterRequest(ctx context.Context, e server.RequestEvent) { h.r.AfterRequest(ctx, e) }

type onlyAccept struct{ r *recorder }

func (h onlyAccept) AfterAcceptError(addr net.Addr, err error) { h.r.AfterAcceptError(addr, err) }

// Each kind of hook works without the others.
func TestHooksOfOneKind(t *testing.T) {
	for name, tc := range map[string]struct {
		hook         func(r *recorder) any
		starts, ends int
	}{
		"start":  {func(r *recorder) any { return onlyStart{r} }, 2, 0},
		"end":    {func(r *recorder) any { return onlyEnd{r} }, 0, 2},
		"accept": {func(r *recorder) any { return onlyAccept{r} }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				synctest.Test(t, func(t *testing.T) {
					h := echo()
					h.Concurrency = n
					r := &recorder{}
					nc, err := newMemServer(t, &server.Server{Handler: h, Hooks: []any{tc.hook(r)}}).Dial(t.Context())
					require.NoError(t, err)
					c := newClient(t, nc)
					c.send("a")
					_, err = nc.Write([]byte("\x00\x02b"))
					require.NoError(t, err)
					time.Sleep(time.Second)
					_, err = nc.Write([]byte("b"))
					require.NoError(t, err)
					c.expect("a", "bb")
					require.NoError(t, c.Close())
					synctest.Wait()
					require.Len(t, r.starts, tc.starts)
					require.Len(t, r.events, tc.ends)
				})
			})
		})
	}
}

// The time until the reply was written is in the event.
func TestRequestHooksTellTheWriteTime(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, 98), nil })
			h.Concurrency = n
			r := &recorder{}
			l := memnet.Listen("server")
			l.BufferSize = 50 // half of a reply
			startOn(t, &server.Server{Handler: h, Hooks: []any{r}}, l)
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			_, err = nc.Write([]byte{0, 0})
			require.NoError(t, err)
			time.Sleep(3 * time.Second)
			c := newClient(t, nc)
			_, err = c.r.Next()
			require.NoError(t, err)
			require.NoError(t, c.Close())
			synctest.Wait()
			require.Equal(t, 3*time.Second, r.byRequest()[0].WriteTime)
		})
	})
}

// A reply that could not be written is no reply to a hook.
func TestHookHearsOfAReplyThatWasNotWritten(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, 1000), nil })
			h.Concurrency, h.WriteTimeout = n, time.Second
			r := &recorder{}
			l := memnet.Listen("server")
			l.BufferSize = 10
			startOn(t, &server.Server{Handler: h, Hooks: []any{r}}, l)
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			_, err = nc.Write([]byte("\x00\x01x"))
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			events := r.byRequest()
			require.Len(t, events, 1)
			require.False(t, events[0].Replied)
			require.NoError(t, nc.Close())
		})
	})
}
