package envelope_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// begin returns the context of a request that arrived now.
func begin(parent context.Context, e envelope.Envelope) *envelope.RequestContext {
	c := new(envelope.RequestContext)
	c.Begin(parent, &e, time.Now())
	return c
}

func TestRequestContextCarriesTheEnvelope(t *testing.T) {
	type key struct{}
	parent := context.WithValue(t.Context(), key{}, "kept")
	require.Nil(t, envelope.FromContext(parent))
	c := begin(parent, envelope.Envelope{Number: 3, Method: []byte("m"), Trace: trace})
	defer c.End()
	child := context.WithValue(c, key{}, "other")
	require.Equal(t, "m", string(envelope.FromContext(child).Method))
	require.Equal(t, trace, envelope.TraceFromContext(child))
	require.Equal(t, "kept", c.Value(key{}))
	require.Empty(t, envelope.MethodFromContext(child), "it is not sent on")
	require.Equal(t, "next", envelope.MethodFromContext(envelope.ContextWithMethod(child, "next")))
	require.Equal(t, "kept", envelope.ContextWithMethod(c, "next").Value(key{}))
}

// Without a time limit, the context is that of the connection.
func TestRequestContextWithoutALimit(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	c := begin(parent, envelope.Envelope{})
	_, limited := c.Deadline()
	require.False(t, limited)
	require.Equal(t, parent.Done(), c.Done())
	c.End()
	require.NoError(t, c.Err())
	cancel()
	require.ErrorIs(t, c.Err(), context.Canceled)
}

// TestRequestContextEnds: each way that it ends, and each way to hear of it.
func TestRequestContextEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(c *envelope.RequestContext, cancel context.CancelFunc)
		want error
	}{
		"time": {func(*envelope.RequestContext, context.CancelFunc) {
			time.Sleep(time.Second)
			synctest.Wait() // for its timer
		}, context.DeadlineExceeded},
		"parent": {func(_ *envelope.RequestContext, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"End":    {func(c *envelope.RequestContext, _ context.CancelFunc) { c.End() }, context.Canceled},
	} {
		for _, asked := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(t.Context())
					defer cancel()
					c := begin(parent, envelope.Envelope{Timeout: time.Second})
					defer c.End()
					at, _ := c.Deadline()
					require.Equal(t, time.Now().Add(time.Second), at)
					require.NoError(t, c.Err())
					var child context.Context
					if asked {
						var stop context.CancelFunc
						child, stop = context.WithCancel(c)
						defer stop()
					}
					test.end(c, cancel)
					require.ErrorIs(t, c.Err(), test.want)
					<-c.Done()
					if asked {
						<-child.Done()
						require.ErrorIs(t, child.Err(), test.want)
						require.ErrorIs(t, context.Cause(child), test.want)
					}
				})
			})
		}
	}
}

// The earlier of two limits counts, and one that has passed ends it at once.
func TestRequestContextOfTwoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(time.Second)
		parent, cancel := context.WithDeadline(t.Context(), soon)
		defer cancel()
		c := begin(parent, envelope.Envelope{Timeout: time.Hour})
		defer c.End()
		at, ok := c.Deadline()
		require.True(t, ok)
		require.Equal(t, soon, at)
		time.Sleep(time.Second)
		synctest.Wait() // for the timer of parent
		require.ErrorIs(t, c.Err(), context.DeadlineExceeded)

		passed := begin(context.Background(), envelope.Envelope{Timeout: -1})
		require.ErrorIs(t, passed.Err(), context.DeadlineExceeded)
		<-passed.Done()
		passed.End()
	})
}

func TestStatusError(t *testing.T) {
	for _, test := range []struct {
		status        uint32
		kind          string
		safe, timeout bool
		text          string
	}{
		{envelope.StatusFailed, "application", false, false, "envelope: status 1: the handler failed"},
		{envelope.StatusOverloaded, "overloaded", true, false, "envelope: status 2: too many requests in progress"},
		{envelope.StatusTooLate, "timeout", true, true, "envelope: status 3: the time had passed before the request's turn"},
		{envelope.StatusTimeout, "timeout", false, true, "envelope: status 4: the time passed while the request was handled"},
		{404, "application", false, false, "envelope: status 404"},
	} {
		e := &envelope.StatusError{Status: test.status}
		require.EqualError(t, e, test.text)
		require.Equal(t, test.kind, e.Kind())
		require.Equal(t, test.safe, e.SafeToRetry())
		require.Equal(t, test.timeout, e.Timeout() && e.Temporary())
		require.Equal(t, test.timeout, e.Is(context.DeadlineExceeded))
	}
	require.EqualError(t, &envelope.StatusError{Status: 404, Message: "no such key"}, "envelope: status 404: no such key")
}

// A nil pointer in an error is an error without a status of its own.
func TestStatusErrorNil(t *testing.T) {
	var none *envelope.StatusError
	failed := &envelope.StatusError{Status: envelope.StatusFailed}
	require.EqualError(t, none, failed.Error())
	require.Equal(t, failed.Kind(), none.Kind())
	require.False(t, none.SafeToRetry() || none.Timeout() || none.Temporary() || none.Overloaded())
	require.NotErrorIs(t, error(none), context.DeadlineExceeded)
}
