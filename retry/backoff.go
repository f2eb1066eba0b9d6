package retry

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// The values of the zero fields of Exponential and Decorrelated.
const (
	defaultBase   = 50 * time.Millisecond
	defaultMax    = 2 * time.Second
	defaultFactor = 2
)

// Backoff says how long to wait before a retry. A Backoff keeps no state, so
// that many calls can share one value. The arguments of Delay have the state
// of the call.
type Backoff interface {
	// Delay returns the wait before a retry. The first retry has the number
	// 1. last is the result of Delay for the previous retry, or zero for
	//    the first retry. err is the error of the previous attempt. A
	//    negative delay counts as zero.
	//
	// The types of this package return RetryAfter(err) if it is known.
	Delay(retry int, last time.Duration, err error) time.Duration
}

// RetryAfter returns how long err asks to wait before the next attempt. It
// calls the method RetryAfter() time.Duration of the first error in err's tree
// that has it. The result is false if no error has the method, or if the time
// is zero or negative. The error of a pool that has stopped dialing for a
// while has the method.
func RetryAfter(err error) (time.Duration, bool) {
	var after interface{ RetryAfter() time.Duration }
	if !errors.As(err, &after) {
		return 0, false
	}
	d := after.RetryAfter()
	return d, d > 0
}

// Constant waits the same time before each retry. Zero or less retries at once.
type Constant time.Duration

// Delay implements Backoff.
func (c Constant) Delay(_ int, _ time.Duration, err error) time.Duration {
	if d, ok := RetryAfter(err); ok {
		return d
	}
	return time.Duration(c)
}

// Exponential waits for a random time from zero to a ceiling. The ceiling is
// Base for the first retry and grows by Factor with each, up to Max. This is the
// "full jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter"
// and the rule of gRPC's proposal A6. It spreads the retries of many clients
// best.
type Exponential struct {
	// Base is the first ceiling. Zero means 50 ms.
	Base time.Duration
	// Max is the largest ceiling. Zero means 2 s, or Base if that is more.
	Max time.Duration
	// Factor is the growth of the ceiling, at least 1. Zero means 2.
	Factor float64
}

// Delay implements Backoff.
func (e Exponential) Delay(retry int, _ time.Duration, err error) time.Duration {
	if d, ok := RetryAfter(err); ok {
		return d
	}
	base, most := bounds(e.Base, e.Max)
	factor := e.Factor
	if !(factor >= 1) { // zero, and what Validate refuses: NaN included
		factor = defaultFactor
	}
	ceiling := float64(base) * math.Pow(factor, float64(max(retry, 1)-1))
	if !(ceiling < float64(most)) {
		return between(0, most)
	}
	return between(0, time.Duration(ceiling))
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (e Exponential) Validate() error {
	if e.Factor != 0 && !(e.Factor >= 1) || math.IsInf(e.Factor, 1) {
		return &ConfigError{"Factor", "must be a finite number of at least 1", nil}
	}
	return validateBounds(e.Base, e.Max)
}

// Decorrelated waits for a random time from Base to three times the wait before,
// up to Max: the "decorrelated jitter" of the AWS Architecture Blog. It never
// retries sooner than Base.
type Decorrelated struct {
	// Base is the shortest wait. Zero means 50 ms.
	Base time.Duration
	// Max is the longest wait. Zero means 2 s, or Base if that is more.
	Max time.Duration
}

// Delay implements Backoff.
func (d Decorrelated) Delay(_ int, last time.Duration, err error) time.Duration {
	if d, ok := RetryAfter(err); ok {
		return d
	}
	base, most := bounds(d.Base, d.Max)
	ceiling := time.Duration(math.MaxInt64)
	if last = max(last, base); last < math.MaxInt64/3 {
		ceiling = 3 * last
	}
	return min(between(base, ceiling), most)
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (d Decorrelated) Validate() error { return validateBounds(d.Base, d.Max) }

func bounds(base, most time.Duration) (time.Duration, time.Duration) {
	if base <= 0 {
		base = defaultBase
	}
	if most <= 0 {
		most = max(defaultMax, base)
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
