package retry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// What the zero fields of Budget mean. They are Finagle's: a fifth of the
// requests, ten a second besides, and ten seconds' worth of those saved up.
const (
	DefaultRatio     = 0.2
	DefaultPerSecond = 10
	DefaultBurst     = 100
)

// Budget keeps retries from multiplying the load of a server in trouble: over
// time it allows Ratio retries for each call, and PerSecond retries a second so
// that a quiet client may retry too. It is a bucket of tokens that starts full:
// a call adds Ratio, time adds PerSecond, a retry takes 1 or, where there is
// less than 1, is refused. (Finagle's retry budget; gRPC's proposal A6 and the
// AWS SDKs have the like.)
//
// The zero Budget works. Share one pointer among the policies of one server;
// do not copy it, nor change its fields once it is in use. It is safe for
// concurrent use, and a call that succeeds at once costs one atomic load while
// the bucket is full.
type Budget struct {
	// Ratio is how many retries each call earns. Zero means DefaultRatio,
	// negative none.
	Ratio float64
	// PerSecond is how many retries each second brings. Zero means
	// DefaultPerSecond, negative none.
	PerSecond float64
	// Burst is how many retries the bucket holds. Zero means DefaultBurst,
	// negative none: no retry is ever allowed.
	Burst int

	spent   atomic.Int64 // millionths of a token missing from a full bucket; written under mu
	mu      sync.Mutex   // guards all below, and writes of spent
	refill  time.Time    // when PerSecond was last added
	allowed uint64
	denied  uint64
}

// BudgetStat is a Budget at one moment.
type BudgetStat struct {
	Available       float64 // tokens in the bucket: so many retries would be allowed now
	Allowed, Denied uint64  // retries since the start
}

// token is the unit of spent: fractions of a token are exact to a millionth.
const token = 1_000_000

// Validate returns a *ConfigError that names the first field that makes no
// sense, or nil.
func (b *Budget) Validate() error {
	if math.IsNaN(b.Ratio) || math.IsInf(b.Ratio, 0) {
		return &ConfigError{"Ratio", "must be finite", nil}
	}
	if math.IsNaN(b.PerSecond) || math.IsInf(b.PerSecond, 0) {
		return &ConfigError{"PerSecond", "must be finite", nil}
	}
	return nil
}

// Stat returns the tokens there are and what became of the retries so far.
func (b *Budget) Stat() BudgetStat {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	return BudgetStat{
		Available: float64(b.capacity()-b.spent.Load()) / token,
		Allowed:   b.allowed,
		Denied:    b.denied,
	}
}

// Spend takes the token of one retry, for a repeated request that Do knows
// nothing of, such as a hedged one. It reports whether there was a token; if
// not, do not repeat. A nil Budget has no end.
func (b *Budget) Spend() bool { return b.withdraw() }

// deposit earns a call's share. A nil Budget does nothing.
func (b *Budget) deposit() {
	if b != nil && b.spent.Load() > 0 {
		b.earn() // apart, so that the full bucket's path is inlined
	}
}

func (b *Budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(tokens(b.Ratio, DefaultRatio))
}

// withdraw takes a retry's token if there is one. A nil Budget has no end.
func (b *Budget) withdraw() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	spent := b.spent.Load() + token
	if spent > b.capacity() {
		b.denied++
		return false
	}
	b.allowed++
	b.spent.Store(spent)
	return true
}

// accrue adds what time has earned; mu is held.
func (b *Budget) accrue() {
	now := time.Now()
	if b.spent.Load() > 0 {
		b.add(tokens(b.PerSecond, DefaultPerSecond) * now.Sub(b.refill).Seconds())
	}
	b.refill = now
}

// add puts amount millionths into the bucket, which overflows; mu is held.
func (b *Budget) add(amount float64) {
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
		return DefaultBurst * token
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
