package retry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// The values of a Budget's zero fields. They are Finagle's.
const (
	defaultRatio     = 0.2
	defaultPerSecond = 10
	defaultBurst     = 100
)

// Budget bounds the retries of many calls together, so that they do not
// multiply the load of a server in trouble. Over time it allows Ratio retries
// for each call, and PerSecond retries a second, so that a quiet client may
// retry too. It is a bucket of tokens that starts full. A call adds Ratio
// tokens, a second adds PerSecond, a retry takes 1. If there is less than 1,
// the retry is refused. Finagle, gRPC's proposal A6 and the AWS SDKs have the
// same idea.
//
// The zero Budget works. Share one pointer among the policies of one server. Do
// not copy it, and do not change its fields once it is in use. It is safe for
// concurrent use. While the bucket is full, a call that succeeds at once costs
// one atomic load.
type Budget struct {
	// Ratio is how many retries each call earns. Zero means 0.2. Negative
	// means none.
	Ratio float64
	// PerSecond is how many retries each second brings. Zero means 10.
	// Negative means none.
	PerSecond float64
	// Burst is how many retries the bucket holds. Zero means 100. Negative
	// means none: no retry is ever allowed.
	Burst int

	spent   atomic.Int64 // millionths of a token missing from a full bucket; written under mu
	mu      sync.Mutex   // guards all below, and writes of spent
	refill  time.Time    // when PerSecond was last added
	allowed uint64
	denied  uint64
}

// BudgetStat is what Budget.Stat returns.
type BudgetStat struct {
	// Available is how many retries would be allowed now: the tokens in the
	// bucket.
	Available float64
	// Allowed counts the retries that were allowed since the start.
	Allowed uint64
	// Denied counts the retries that were refused since the start.
	Denied uint64
}

// token is the unit of spent: fractions of a token are exact to a millionth.
const token = 1_000_000

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (b *Budget) Validate() error {
	if math.IsNaN(b.Ratio) || math.IsInf(b.Ratio, 0) {
		return &ConfigError{"Ratio", "must be finite", nil}
	}
	if math.IsNaN(b.PerSecond) || math.IsInf(b.PerSecond, 0) {
		return &ConfigError{"PerSecond", "must be finite", nil}
	}
	return nil
}

// Stat returns the state of the bucket and counts of retries.
func (b *Budget) Stat() BudgetStat {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrueLocked()
	return BudgetStat{
		Available: float64(b.capacity()-b.spent.Load()) / token,
		Allowed:   b.allowed,
		Denied:    b.denied,
	}
}

// Spend takes one token, for a repeated request that is not made by Do, such
// as a hedged one. It reports whether there was a token. If there was none,
// do not repeat the request. A nil Budget always has a token.
func (b *Budget) Spend() bool { return b.withdraw() }

// deposit adds what a call earns. A nil Budget does nothing.
func (b *Budget) deposit() {
	if b != nil && b.spent.Load() > 0 {
		b.earn() // apart, so that the full bucket's path is inlined
	}
}

func (b *Budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addLocked(tokens(b.Ratio, defaultRatio))
}

// withdraw takes the token of a retry, if there is one. A nil Budget allows all.
func (b *Budget) withdraw() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrueLocked()
	spent := b.spent.Load() + token
	if spent > b.capacity() {
		b.denied++
		return false
	}
	b.allowed++
	b.spent.Store(spent)
	return true
}

// accrueLocked adds what time has earned.
func (b *Budget) accrueLocked() {
	now := time.Now()
	if b.spent.Load() > 0 {
		b.addLocked(tokens(b.PerSecond, defaultPerSecond) * now.Sub(b.refill).Seconds())
	}
	b.refill = now
}

// addLocked puts amount millionths into the bucket, up to its capacity.
func (b *Budget) addLocked(amount float64) {
	spent := b.spent.Load()
	if !(amount < float64(spent)) {
		b.spent.Store(0)
		return
	}
	b.spent.Store(spent - int64(amount))
}

func (b *Budget) capacity() int64 {
	switch {
	case b.Burst == 0:
		return defaultBurst * token
	case b.Burst < 0:
		return 0
	}
	return min(int64(b.Burst), math.MaxInt64/token/2) * token
}

// tokens turns a configured number of tokens into millionths.
func tokens(configured, zero float64) float64 {
	switch {
	case configured == 0 || math.IsNaN(configured):
		return zero * token
	case configured < 0:
		return 0
	}
	return configured * token
}
