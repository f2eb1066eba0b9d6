package balance

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Config says how a [Balancer] works. Resolver and Open are needed. For every
// other field zero is a sensible setting, and negative means none or never. It
// is copied by [New].
type Config[T any] struct {
	// Resolver says where the endpoints are.
	Resolver resolve.Resolver
	// Open makes the value of an endpoint, when the endpoint is first picked.
	// It must not block, so it must not dial. An error counts as a failure of
	// the endpoint.
	Open func(e resolve.Endpoint) (T, error)
	// Close disposes of the value of an endpoint that has been removed, after
	// its last call. When ctx ends it must close at once. Nil means to do
	// nothing.
	Close func(ctx context.Context, value T) error
	// Warm calls Open as soon as the endpoint is known, so that a pool can
	// have connections ready before the first call.
	Warm bool
	// DrainTimeout bounds the wait for the calls in flight to a removed
	// endpoint. Zero means 30 seconds; negative means not to wait.
	DrainTimeout time.Duration
	// AllowEmpty accepts an empty set: all endpoints are removed and calls
	// fail. If it is false, the last set stays in use, because an empty
	// registry is usually a fault of the registry.
	AllowEmpty bool

	// Policy chooses among the endpoints that are available. Nil means
	// PeakEWMA(0).
	Policy Policy
	// Zone is the zone of this process: endpoints of the same zone are
	// preferred. Empty means no preference.
	Zone string
	// SpillAbove lets a call go to the next priority or zone when the chosen
	// endpoint has this many calls in flight, times its weight. Zero and
	// negative mean that only availability decides.
	SpillAbove int
	// Subset is how many endpoints of each priority and zone are used, chosen
	// at random for each Balancer and stable while the set changes. It bounds
	// the connections of a large fleet. Zero and negative mean all of them.
	Subset int

	// Health says when an endpoint is ejected and how it comes back.
	Health Health

	// OnChange, if not nil, is called for each change of an endpoint's
	// state. It is called on the balancer's goroutine and must not block.
	OnChange func(Change)
	// Rand is the source of random numbers, for tests and simulations. It may
	// be called from many goroutines. Nil means math/rand/v2.
	Rand func() uint64
}

// Health says when an endpoint is ejected and how it comes back. The zero value
// works.
type Health struct {
	// Failures is how many failures in a row eject an endpoint. Zero means 5;
	// negative means never.
	Failures int
	// Rate is the limit for the share of failed calls of an endpoint,
	// compared with that of the other endpoints. An endpoint is ejected if
	// its share is higher by more than Rate, and more than twice as high.
	// Zero means 0.2; negative means never.
	Rate float64
	// MinCalls is how many calls an endpoint must have had, within 30
	// seconds, for its rate to be judged. Zero and negative mean 20.
	MinCalls int
	// EjectFor is how long the first ejection lasts before a call tries the
	// endpoint. It doubles with each failure that follows. In a busy balancer,
	// one call in 400 tries an ejected endpoint, at the earliest after
	// EjectFor, even if the doubled time is not over. Zero and negative mean 1
	// second.
	EjectFor time.Duration
	// MaxEjectFor bounds the doubling. Zero and negative mean 30 seconds.
	MaxEjectFor time.Duration
	// MaxEjected is the largest part of the endpoints that may be ejected. If
	// more of them are failing, all are used. Zero means 0.8; negative means
	// that none may be ejected.
	MaxEjected float64
	// SlowStart is how long an endpoint gets fewer calls when it is new, or
	// when it was ejected before. It gets a tenth of its share at first,
	// and the share then grows linearly. Zero means 3 seconds; negative
	// means none.
	SlowStart time.Duration
}

// ConfigError names the field of a [Config] that cannot be used.
type ConfigError struct {
	// Field is the name of the field, such as "Health.Rate".
	Field string
	// Problem says what is wrong with it.
	Problem string
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return fmt.Sprintf("balance: %s %s", e.Field, e.Problem) }

// SafeToRetry is false: the same configuration fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// Validate returns a *ConfigError that names the first field that cannot be
// used, or nil.
func (c Config[T]) Validate() error {
	switch {
	case c.Resolver == nil:
		return &ConfigError{"Resolver", "is nil"}
	case c.Open == nil:
		return &ConfigError{"Open", "is nil"}
	}
	return c.Health.Validate()
}

// Validate returns a *ConfigError that names the first field that cannot be
// used, or nil.
func (h Health) Validate() error {
	switch {
	case math.IsNaN(h.Rate) || h.Rate > 1:
		return &ConfigError{"Health.Rate", "must be at most 1"}
	case math.IsNaN(h.MaxEjected) || h.MaxEjected > 1:
		return &ConfigError{"Health.MaxEjected", "must be at most 1"}
	case h.EjectFor > 0 && h.MaxEjectFor > 0 && h.MaxEjectFor < h.EjectFor:
		return &ConfigError{"Health.MaxEjectFor", "is less than Health.EjectFor"}
	}
	return nil
}

// withDefaults returns h with its defaults put in; what is off stays negative.
func (h Health) withDefaults() Health {
	if h.Failures == 0 {
		h.Failures = 5
	}
	if h.Rate == 0 {
		h.Rate = 0.2
	}
	if h.MinCalls <= 0 {
		h.MinCalls = 20
	}
	if h.EjectFor <= 0 {
		h.EjectFor = time.Second
	}
	if h.MaxEjectFor <= 0 {
		h.MaxEjectFor = max(30*time.Second, h.EjectFor)
	}
	h.MaxEjectFor = max(h.MaxEjectFor, h.EjectFor)
	if h.MaxEjected == 0 {
		h.MaxEjected = 0.8
	}
	if h.SlowStart == 0 {
		h.SlowStart = 3 * time.Second
	}
	return h
}

// ejectFor is the length of the ejection at a level, 1 being the first.
func (h *Health) ejectFor(level int) time.Duration {
	if level > 16 {
		return h.MaxEjectFor
	}
	return min(h.EjectFor<<max(level-1, 0), h.MaxEjectFor)
}
