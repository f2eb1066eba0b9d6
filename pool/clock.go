package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock counts a pool's time: nanoseconds since the pool was made, plus one so
// that no time is zero. It is the later of the monotonic and the wall clock:
// the monotonic one stops while the machine is suspended, and a connection ages
// all the same. A wall clock that is set back changes nothing.
type clock struct {
	epoch time.Time
	since func(time.Time) time.Duration      // time.Since, but for tests
	read  func() (now time.Time, wall int64) // wall in Unix nanoseconds
	start int64                              // wall at epoch

	ahead    atomic.Int64 // how far the wall clock has jumped ahead, in all
	apart    atomic.Int64 // wall minus monotonic when they were last compared
	compared atomic.Int64 // when that was

	mu sync.Mutex // guards changes of the two
}

// jumped is how far the two clocks must move apart to count as a jump. Less
// is the daily work of a time server.
const jumped = int64(time.Second)

func readClocks() (now time.Time, wall int64) {
	now = time.Now()
	return now, now.UnixNano()
}

func (k *clock) init() {
	k.since, k.read = time.Since, readClocks
	k.epoch, k.start = k.read()
}

// compareEvery is how often, by the monotonic clock, now looks at the wall
// clock, which costs as much again. After a suspension a busy pool may believe
// for so long that no time has passed.
const compareEvery = int64(10 * time.Millisecond)

// now reads the clock.
func (k *clock) now() int64 {
	passed := int64(k.since(k.epoch))
	if passed-k.compared.Load() > compareEvery {
		k.compare()
	}
	return passed + k.ahead.Load() + 1
}

// compare looks whether the clocks have moved apart.
func (k *clock) compare() {
	now, wall := k.read()
	passed := int64(now.Sub(k.epoch))
	k.compared.Store(passed)
	if d := wall - k.start - passed - k.apart.Load(); d > jumped || d < -jumped {
		k.jump(wall - k.start - passed)
	}
}

// jump takes note of a new distance between the clocks.
func (k *clock) jump(apart int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := apart - k.apart.Load(); d > 0 {
		k.ahead.Add(d)
	}
	k.apart.Store(apart)
}

// time translates a time of this clock. If the wall clock has jumped, the
// result has no monotonic reading, which would be wrong.
func (k *clock) time(at int64) time.Time {
	t := k.epoch.Add(time.Duration(at - 1))
	if k.ahead.Load() != 0 {
		t = t.Round(0)
	}
	return t
}

// later is d after at, or never.
func later(at int64, d time.Duration) int64 { return at + min(int64(d), never-at) }
