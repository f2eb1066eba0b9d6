package retry_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		policy retry.Policy
		want   string // empty: valid
	}{
		{retry.Policy{}, ""},
		{retry.Policy{MaxAttempts: -1, PerAttemptTimeout: -1, MaxElapsed: -1}, ""},
		{retry.Policy{Backoff: retry.Constant(-1)}, ""},
		{retry.Policy{Backoff: chain{}}, ""},
		{retry.Policy{Backoff: retry.Exponential{}}, ""},
		{retry.Policy{Backoff: retry.Exponential{Base: time.Hour}}, ""},
		{retry.Policy{Backoff: retry.Exponential{Base: 1, Max: 1, Factor: 1}}, ""},
		{retry.Policy{Backoff: retry.Decorrelated{}}, ""},
		{retry.Policy{Budget: &retry.Budget{}}, ""},
		{retry.Policy{Budget: &retry.Budget{Ratio: -1, PerSecond: -1, Burst: -1}}, ""},
		{retry.Policy{Backoff: retry.Exponential{Base: -1}}, "retry: Backoff.Base is negative"},
		{retry.Policy{Backoff: retry.Exponential{Max: -1}}, "retry: Backoff.Max is negative"},
		{retry.Policy{Backoff: retry.Exponential{Base: 2, Max: 1}}, "retry: Backoff.Max is less than Base"},
		{retry.Policy{Backoff: retry.Exponential{Factor: 0.5}}, "retry: Backoff.Factor must be a finite number of at least 1"},
		{retry.Policy{Backoff: retry.Exponential{Factor: math.NaN()}}, "retry: Backoff.Factor must be a finite number of at least 1"},
		{retry.Policy{Backoff: retry.Exponential{Factor: math.Inf(1)}}, "retry: Backoff.Factor must be a finite number of at least 1"},
		{retry.Policy{Backoff: retry.Decorrelated{Base: -1}}, "retry: Backoff.Base is negative"},
		{retry.Policy{Backoff: retry.Decorrelated{Base: 2, Max: 1}}, "retry: Backoff.Max is less than Base"},
		{retry.Policy{Budget: &retry.Budget{Ratio: math.NaN()}}, "retry: Budget.Ratio must be finite"},
		{retry.Policy{Budget: &retry.Budget{PerSecond: math.Inf(1)}}, "retry: Budget.PerSecond must be finite"},
	} {
		err := c.policy.Validate()
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.want)
		require.ErrorIs(t, err, err.(*retry.ConfigError).Err)
		require.False(t, retry.SafeToRetry(err))
	}
	require.EqualError(t, retry.Exponential{Base: -1}.Validate(), "retry: Base is negative")
}

// picky is a Backoff of a user's own that checks itself.
type picky struct{ retry.Constant }

func (picky) Validate() error { return errPlain }

func TestValidateAsksAnyBackoff(t *testing.T) {
	err := retry.Policy{Backoff: picky{}}.Validate()
	require.ErrorIs(t, err, errPlain)
	require.EqualError(t, err, "retry: Backoff is invalid: plain")
}

// What Validate refuses, Do survives: no panic, no wait without end.
func TestInvalidPoliciesStillEnd(t *testing.T) {
	for _, p := range []retry.Policy{
		{Backoff: retry.Exponential{Base: 1, Max: 1, Factor: math.Inf(1)}},
		{Backoff: retry.Exponential{Base: 2, Max: 1, Factor: math.NaN()}},
		{Backoff: retry.Decorrelated{Base: 2, Max: 1}},
		{Backoff: retry.Constant(0), Budget: &retry.Budget{Ratio: math.NaN(), PerSecond: math.NaN()}},
		{Backoff: retry.Constant(0), Budget: &retry.Budget{Ratio: math.Inf(1), PerSecond: math.Inf(1), Burst: math.MaxInt}},
	} {
		calls := 0
		require.Error(t, retry.Do(context.Background(), p, func(context.Context) error { calls++; return unsent(true) }))
		require.Equal(t, 3, calls)
	}
}
