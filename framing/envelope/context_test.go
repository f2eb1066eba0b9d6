package envelope_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

func TestContextCarriesATrace(t *testing.T) {
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "kept"))
	require.True(t, envelope.TraceFromContext(parent).IsZero())

	ctx := envelope.ContextWithTrace(parent, trace)
	require.Equal(t, trace, envelope.TraceFromContext(ctx))
	require.Equal(t, "kept", ctx.Value(key{}))

	other := trace
	other.Parent[0] = 9
	inner, stop := context.WithCancel(envelope.ContextWithTrace(ctx, other))
	defer stop()
	require.Equal(t, other, envelope.TraceFromContext(inner), "the innermost")
	require.True(t, envelope.TraceFromContext(envelope.ContextWithTrace(ctx, envelope.Trace{})).IsZero(), "none hides one")

	cancel()
	<-inner.Done()
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { envelope.ContextWithTrace(parent, trace) }), 1.)
}
