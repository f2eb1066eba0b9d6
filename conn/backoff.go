package conn

import (
	"math/rand/v2"
	"time"
)

// The values of a DialBackoff's zero fields, and its rule.
const (
	backoffAfter = 3
	backoffMin   = 10 * time.Millisecond
	backoffMax   = 500 * time.Millisecond
	backoffShare = 20 // a pause is the outage so far divided by this
)

// DialBackoff says when a pool or a pipeline stops dialing an address that
// fails. The first After failures in a row have no consequence. After that,
// each further failure begins a pause. During a pause there is no dial, and
// calls that need a new connection fail at once. When the pause is over, one
// dial is made. If it succeeds, dialing is normal again. If it fails, the next
// pause begins.
//
// A pause lasts 5 % of the outage so far, counted from the first of the
// failures in a row, but at least Min and at most Max. So callers are back
// within 50 ms after an outage of one second, within 5 % of the time after a
// longer one, and within Max after any. Each pause is shortened by a random
// part of up to half of it, but not below Min. So many clients do not dial
// at the same moment.
type DialBackoff struct {
	// After is how many failures in a row begin the first pause. Zero means
	// 3. Negative means that there are no pauses.
	After int
	// Min is the shortest pause. Zero means 10 ms. Negative is invalid.
	Min time.Duration
	// Max is the longest pause. Zero means 500 ms, or Min if that is longer.
	// Negative is invalid.
	Max time.Duration
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (b DialBackoff) Validate() error {
	switch {
	case b.Min < 0:
		return &ConfigError{"DialBackoff.Min", "is negative", nil}
	case b.Max < 0:
		return &ConfigError{"DialBackoff.Max", "is negative", nil}
	case b.Max != 0 && b.Max < b.min():
		return &ConfigError{"DialBackoff.Max", "is smaller than Min", nil}
	}
	return nil
}

// Pause returns how long to wait before the next dial. failures is the number
// of failures in a row, and outage is the time since the first of them began.
// Zero means no wait.
func (b DialBackoff) Pause(failures int, outage time.Duration) time.Duration {
	after := b.After
	if after == 0 {
		after = backoffAfter
	}
	if after < 0 || failures < after {
		return 0
	}
	least := b.min()
	pause := min(max(outage/backoffShare, least), b.max())
	return pause - rand.N(min(pause/2, max(pause-least, 0))+1)
}

func (b DialBackoff) min() time.Duration {
	if b.Min <= 0 {
		return backoffMin
	}
	return b.Min
}

func (b DialBackoff) max() time.Duration {
	if b.Max <= 0 {
		return max(backoffMax, b.min())
	}
	return b.Max
}
