package gtcp

import (
	"context"
	"errors"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// HedgeAuto is a value of CallOptions.Hedge. The second attempt then begins
// after the 95th percentile of the recent durations of this client's calls.
const HedgeAuto time.Duration = 1

// hedgeDelay returns how long an attempt may take before a second one begins
// beside it. ok is false if none begins.
func (c *Client) hedgeDelay(options *CallOptions) (d time.Duration, ok bool) {
	if options.Hedge == HedgeAuto {
		return c.latencies().p95()
	}
	return options.Hedge, true
}

// outcome is what an attempt returned.
type outcome struct {
	reply    []byte
	err      error
	returned bool // if false, a hook or an interceptor has panicked or ended its goroutine
	panicked any
}

// again does to the caller what was done to the attempt's goroutine.
func (o *outcome) again() {
	if o.panicked == nil {
		runtime.Goexit()
	}
	panic(o.panicked)
}

// hedged makes an attempt and, if it takes longer than delay, a second one
// beside it. The first reply counts. It returns when both have ended.
func (c *Client) hedged(ctx context.Context, r *run, delay time.Duration, dst, request []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait() // after cancel: request is not used any more then
	defer cancel()
	outcomes := make(chan outcome, 2)
	begin := func() error {
		a, err := c.begin(ctx, r)
		if err != nil {
			return err
		}
		running.Go(func() {
			var o outcome
			defer func() {
				if !o.returned {
					o.panicked = recover()
				}
				outcomes <- o
			}()
			o.reply, o.err = a.call(ctx, nil, request)
			o.returned = true
		})
		return nil
	}
	if err := begin(); err != nil {
		return dst, err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	pending, hedge := 1, timer.C
	for {
		select {
		case o := <-outcomes:
			pending--
			if !o.returned {
				o.again()
			}
			if o.err == nil {
				return append(dst, o.reply...), nil
			}
			if pending == 0 {
				return dst, o.err
			}
			_ = r.failed(o.err)
		case <-hedge:
			hedge = nil
			if r.policy.Budget.Spend() && begin() == nil {
				pending++
				c.count.failures().hedges.Add(1)
			}
		}
	}
}

// latencies counts how long calls took, in buckets of a quarter of a power of
// two, from a microsecond on. What is old counts less and less.
type latencies struct {
	buckets [latencyBuckets]atomic.Uint32
	total   atomic.Uint32
	aging   sync.Mutex // held while the buckets are halved
}

// latencies returns those of the client, and makes them if there are none.
func (c *Client) latencies() *latencies {
	if c.latency.Load() == nil {
		c.latency.CompareAndSwap(nil, new(latencies))
	}
	return c.latency.Load()
}

const (
	latencyBuckets = 128
	latencyAge     = 2048 // calls after which the older ones count half
	latencyLeast   = 20   // calls that are needed to tell a percentile
)

// latencyPower is the power of two, in nanoseconds, of the shortest time that
// is told from a shorter one: a microsecond or so.
const latencyPower = 10

// bucketOf returns the bucket of a duration: four for each power of two.
func bucketOf(d time.Duration) int {
	ns := uint64(max(d, 1<<latencyPower))
	power := bits.Len64(ns) - 1
	quarter := ns >> (power - 2) & 3
	return min((power-latencyPower)*4+int(quarter), latencyBuckets-1)
}

// bucketEnd returns the duration at which a bucket ends.
func bucketEnd(bucket int) time.Duration {
	return time.Duration(5+bucket%4) << (bucket/4 + latencyPower - 2)
}

// learn adds the time of an attempt that took d. A failure says nothing of how
// long a reply takes, unless the time was over.
func (l *latencies) learn(d time.Duration, err error) {
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		l.add(d)
	}
}

// add counts a call.
func (l *latencies) add(d time.Duration) {
	l.buckets[bucketOf(d)].Add(1)
	if l.total.Add(1) < latencyAge || !l.aging.TryLock() {
		return
	}
	defer l.aging.Unlock()
	var left uint32
	for i := range l.buckets {
		n := l.buckets[i].Load()
		l.buckets[i].Add(-(n / 2))
		left += n - n/2
	}
	l.total.Store(left)
}

// p95 returns what 19 of 20 calls took less than. ok is false while too few
// have been counted.
func (l *latencies) p95() (d time.Duration, ok bool) {
	var counts [latencyBuckets]uint32
	var total uint32
	for i := range counts {
		counts[i] = l.buckets[i].Load()
		total += counts[i]
	}
	if total < latencyLeast {
		return 0, false
	}
	var sum uint32
	for i, n := range counts {
		if sum += n; sum >= total-total/20 {
			return bucketEnd(i), true
		}
	}
	return 0, false
}
