package retry

import (
	"math"
	"math/rand/v2"
	"time"
)

// What the zero fields of Exponential and Decorrelated mean.
const (
	DefaultBase   = 50 * time.Millisecond
	DefaultMax    = 2 * time.Second
	DefaultFactor = 2
)

// Backoff is how long to wait before a retry. Implementations keep no state, so
// that a value can be shared: what a sequence needs is passed in.
type Backoff interface {
	// Delay returns the wait before the given retry, which counts from 1. last
	// is what Delay returned for the retry before, zero for the first. A
	// negative delay counts as zero.
	Delay(retry int, last time.Duration) time.Duration
}

// Constant waits the same time before each retry; zero or less retries at once.
type Constant time.Duration

// Delay implements Backoff.
func (c Constant) Delay(int, time.Duration) time.Duration { return time.Duration(c) }

// Exponential waits a uniformly random time from zero to a ceiling, which is
// Base for the first retry and grows by Factor with each, up to Max: the "full
// jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter", and
// the rule of gRPC's proposal A6. It spreads the retries of many clients best.
type Exponential struct {
	Base   time.Duration // zero means DefaultBase
	Max    time.Duration // zero means DefaultMax, or Base if that is more
	Factor float64       // zero means DefaultFactor; at least 1
}

// Delay implements Backoff.
func (e Exponential) Delay(retry int, _ time.Duration) time.Duration {
	base, most := bounds(e.Base, e.Max)
	factor := e.Factor
	if !(factor >= 1) { // zero, and what Validate refuses: NaN included
		factor = DefaultFactor
	}
	ceiling := float64(base) * math.Pow(factor, float64(max(retry, 1)-1))
	if !(ceiling < float64(most)) {
		return between(0, most)
	}
	return between(0, time.Duration(ceiling))
}

// Validate returns a *ConfigError that names the first field that makes no
// sense, or nil.
func (e Exponential) Validate() error {
	if e.Factor != 0 && !(e.Factor >= 1) || math.IsInf(e.Factor, 1) {
		return &ConfigError{"Factor", "must be a finite number of at least 1", nil}
	}
	return validateBounds(e.Base, e.Max)
}

// Decorrelated waits a uniformly random time from Base to three times the wait
// before, up to Max: the "decorrelated jitter" of the AWS Architecture Blog. It
// never retries sooner than Base.
type Decorrelated struct {
	Base time.Duration // zero means DefaultBase
	Max  time.Duration // zero means DefaultMax, or Base if that is more
}

// Delay implements Backoff.
func (d Decorrelated) Delay(_ int, last time.Duration) time.Duration {
	base, most := bounds(d.Base, d.Max)
	ceiling := time.Duration(math.MaxInt64)
	if last = max(last, base); last < math.MaxInt64/3 {
		ceiling = 3 * last
	}
	return min(between(base, ceiling), most)
}

// Validate returns a *ConfigError that names the first field that makes no
// sense, or nil.
func (d Decorrelated) Validate() error { return validateBounds(d.Base, d.Max) }

func bounds(base, most time.Duration) (time.Duration, time.Duration) {
	if base <= 0 {
		base = DefaultBase
	}
	if most <= 0 {
		most = max(DefaultMax, base)
	}
	return min(base, most), most
}

func validateBounds(base, most time.Duration) error {
	switch {
	case base < 0:
		return &ConfigError{"Base", "is negative", nil}
	case most < 0:
		return &ConfigError{"Max", "is negative", nil}
	case most != 0 && most < base:
		return &ConfigError{"Max", "is less than Base", nil}
	}
	return nil
}

// between returns a uniformly random duration from low to high, both included.
// Neither is negative.
func between(low, high time.Duration) time.Duration {
	if high-low == math.MaxInt64 {
		return time.Duration(rand.Int64())
	}
	return low + rand.N(high-low+1)
}
