package gtcp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

type ctxKey string

// journal notes what happens in order.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) around(name string) func(gtcp.Invoker) gtcp.Invoker {
	return func(next gtcp.Invoker) gtcp.Invoker {
		return func(ctx context.Context, dst, request []byte) ([]byte, error) {
			j.note("%s begins, of %v", name, ctx.Value(ctxKey("span")))
			reply, err := next(context.WithValue(ctx, ctxKey("span"), name), dst, request)
			j.note("%s ends: %s", name, conn.KindOf(err))
			return reply, err
		}
	}
}

// journalHook is a hook of all kinds that writes a journal.
type journalHook struct{ *journal }

func (h journalHook) StartCall(ctx context.Context, e gtcp.CallStart) context.Context {
	h.note("call starts: %d bytes", e.RequestSize)
	return context.WithValue(ctx, ctxKey("span"), "call")
}

func (h journalHook) EndCall(ctx context.Context, e gtcp.CallEnd) {
	h.note("call ends, of %v: %d attempts, %d bytes, %s", ctx.Value(ctxKey("span")), e.Attempts, e.ReplySize, conn.KindOf(e.Err))
}

func (h journalHook) StartAttempt(ctx context.Context, e gtcp.AttemptStart) context.Context {
	h.note("attempt %d starts, of %v", e.Number, ctx.Value(ctxKey("span")))
	return context.WithValue(ctx, ctxKey("span"), "attempt")
}

func (h journalHook) EndAttempt(ctx context.Context, e gtcp.AttemptEnd) {
	h.note("attempt %d ends, of %v: %s", e.Number, ctx.Value(ctxKey("span")), conn.KindOf(e.Err))
}

// callCounter is a hook of one kind.
type callCounter struct{}

func (callCounter) StartCall(ctx context.Context, _ gtcp.CallStart) context.Context { return ctx }
func (callCounter) EndCall(context.Context, gtcp.CallEnd)                           {}

func TestClientInterceptorsAndHooks(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, _ := flakyServer(t, 1)
		j := &journal{}
		c := client(t, addr, gtcp.ClientConfig{
			Shared:           shared,
			Retry:            retry.Policy{Backoff: retry.Constant(0)},
			Intercept:        j.around("outer"),
			InterceptAttempt: j.around("inner"),
			Hooks:            []any{journalHook{j}, callCounter{}},
			Pipeline:         pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		})
		reply, err := c.CallWith(t.Context(), []byte("kept:"), []byte("abc"), gtcp.CallOptions{Idempotent: true})
		require.NoError(t, err)
		require.Equal(t, "kept:abc", string(reply))
		require.Equal(t, []string{
			"call starts: 3 bytes",
			"outer begins, of call",
			"attempt 1 starts, of outer",
			"inner begins, of attempt",
			"inner ends: peer closed",
			"attempt 1 ends, of attempt: peer closed",
			"attempt 2 starts, of outer",
			"inner begins, of attempt",
			"inner ends: ",
			"attempt 2 ends, of attempt: ",
			"outer ends: ",
			"call ends, of call: 2 attempts, 3 bytes, ",
		}, j.lines)
	})
}

// unconcerned is a hook that wants to hear of no end, or only of odd ones.
type unconcerned struct {
	journalHook
	every int
}

func (h unconcerned) StartCall(context.Context, gtcp.CallStart) context.Context { return nil }

func (h unconcerned) StartAttempt(ctx context.Context, e gtcp.AttemptStart) context.Context {
	if h.every == 0 || e.Number%h.every == 0 {
		return nil
	}
	return h.journalHook.StartAttempt(ctx, e)
}

// A hook that returns nil is not told of the end, and the others are.
func TestClientHookThatIsNotInterested(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, _ := flakyServer(t, 1)
		j, all := &journal{}, &journal{}
		c := client(t, addr, gtcp.ClientConfig{
			Shared:   shared,
			Retry:    retry.Policy{Backoff: retry.Constant(0)},
			Hooks:    []any{unconcerned{journalHook{j}, 0}, unconcerned{journalHook{j}, 2}, journalHook{all}, unconcerned{journalHook{j}, 0}},
			Pipeline: pipeline.Config{DialBackoff: conn.DialBackoff{After: -1}},
		})
		_, err := c.CallWith(t.Context(), nil, []byte("abc"), gtcp.CallOptions{Idempotent: true})
		require.NoError(t, err)
		require.Equal(t, []string{"attempt 1 starts, of call", "attempt 1 ends, of attempt: peer closed"}, j.lines)
		require.Equal(t, []string{
			"call starts: 3 bytes",
			"attempt 1 starts, of attempt",
			"attempt 1 ends, of attempt: peer closed",
			"attempt 2 starts, of call",
			"attempt 2 ends, of attempt: ",
			"call ends, of call: 2 attempts, 3 bytes, ",
		}, all.lines)
	})
}

// The options of a call pass its interceptor, and are not those of another
// call that the interceptor makes.
func TestClientInterceptorKeepsTheOptions(t *testing.T) {
	addr, executed := flakyServer(t, 2)
	var c *gtcp.Client
	c = client(t, addr, gtcp.ClientConfig{
		Retry: retry.Policy{Backoff: retry.Constant(0)},
		Intercept: func(next gtcp.Invoker) gtcp.Invoker {
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				if string(request) == "x" {
					if _, err := c.Call(ctx, []byte("log in")); err == nil {
						t.Error("not idempotent, and the server closed the connection")
					}
				}
				return next(ctx, dst, request)
			}
		},
	})
	reply, err := c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true})
	require.NoError(t, err)
	require.Equal(t, "x", string(reply))
	require.EqualValues(t, 3, executed.Load())

	// With a context of its own the options are lost, and nothing else.
	c = client(t, addr, gtcp.ClientConfig{Intercept: func(next gtcp.Invoker) gtcp.Invoker {
		return func(_ context.Context, dst, request []byte) ([]byte, error) {
			return next(context.Background(), dst, request)
		}
	}})
	reply, err = c.Call(t.Context(), []byte("y"))
	require.NoError(t, err)
	require.Equal(t, "y", string(reply))
}

// An error of an interceptor may stand for a reply that came, so the call is
// not repeated because of it, and is not safe to repeat.
func TestClientInterceptorRefusesAReply(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, executed := flakyServer(t, 0)
		refused := errors.New("status 5")
		c := client(t, addr, gtcp.ClientConfig{Shared: shared, InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				if _, err := next(ctx, dst, request); err != nil {
					return dst, err
				}
				return dst, refused
			}
		}})
		dst := []byte("as it was")
		reply, err := c.AppendCall(t.Context(), dst, []byte("x"))
		require.Equal(t, dst, reply)
		var e *gtcp.CallError
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, refused)
		require.True(t, e.Written)
		require.False(t, retry.SafeToRetry(err))
		require.EqualValues(t, 1, executed.Load())
	})
}

// A call without a deadline gets one.
func TestClientCallTimeout(t *testing.T) {
	for name, parent := range map[string]context.Context{
		"background":  context.Background(),
		"with values": context.WithValue(context.Background(), ctxKey("a"), "value"),
		"can end":     t.Context(),
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, shared bool) {
				var seen any
				var deadline time.Time
				c := client(t, silentServer(t), gtcp.ClientConfig{
					Shared: shared, CallTimeout: 30 * time.Millisecond, Retry: retry.Policy{MaxAttempts: 1},
					Intercept: func(next gtcp.Invoker) gtcp.Invoker {
						return func(ctx context.Context, dst, request []byte) ([]byte, error) {
							seen = ctx.Value(ctxKey("a"))
							deadline, _ = ctx.Deadline()
							return next(ctx, dst, request)
						}
					},
				})
				for range 3 {
					begun := time.Now()
					_, err := c.Call(parent, []byte("x"))
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Equal(t, conn.KindTimeout, conn.KindOf(err))
					require.GreaterOrEqual(t, time.Since(begun), 30*time.Millisecond)
					require.Equal(t, parent.Value(ctxKey("a")), seen)
					require.False(t, deadline.IsZero())
				}
			})
		})
	}
	// Without interceptors the context reaches the connection as it is.
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, silentServer(t), gtcp.ClientConfig{
			Shared: shared, CallTimeout: 30 * time.Millisecond, Retry: retry.Policy{MaxAttempts: 1}})
		for range 3 {
			_, err := c.Call(context.Background(), []byte("x"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

func TestClientCallTimeoutOff(t *testing.T) {
	var limited bool
	c := client(t, frameServer(t, echoed), gtcp.ClientConfig{
		CallTimeout: -1,
		Intercept: func(next gtcp.Invoker) gtcp.Invoker {
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				_, limited = ctx.Deadline()
				return next(ctx, dst, request)
			}
		},
	})
	_, err := c.Call(context.Background(), nil)
	require.NoError(t, err)
	require.False(t, limited)
}
