package retry_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// A call that is resumed goes on as if Do had made its first attempt.
func TestResume(t *testing.T) {
	for _, test := range []struct {
		name  string
		first error
		fails int
		made  int // attempts, the first included
		want  error
	}{
		{"succeeds at once", unsent(true), 0, 2, nil},
		{"succeeds later", unsent(true), 1, 3, nil},
		{"never succeeds", unsent(true), 9, 3, unsent(true)},
		{"not safe", unsent(false), 0, 1, unsent(false)},
		{"permanent", retry.Permanent(io.EOF), 0, 1, io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &retry.Budget{}
			made := 1
			err := retry.Resume(t.Context(), retry.Policy{Backoff: retry.Constant(0), Budget: b}, test.first, func(context.Context) error {
				if made++; made <= 1+test.fails {
					return unsent(true)
				}
				return nil
			})
			require.Equal(t, test.want, err)
			require.Equal(t, test.made, made)
			require.EqualValues(t, made-1, b.Stat().Allowed)
		})
	}
}

// A context that ended during the first attempt ends the call.
func TestResumeOfACallThatItsContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Resume(ctx, retry.Policy{Idempotent: true}, io.EOF, func(context.Context) error { panic("not to be called") })
	var e *retry.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 1, e.Attempts)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, io.EOF)
	require.False(t, retry.SafeToRetry(err))
}
