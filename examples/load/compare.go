package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// test is a whole run: what is called, how, and for how long.
type test struct {
	dialing
	load
	callers        int
	targets        []target
	warmUp         time.Duration
	duration, turn time.Duration // of each target
	progress       time.Duration // zero for none
}

// outcome is what came of one target.
type outcome struct {
	target
	length time.Duration
	totals
	turns []turn
}

// turn is one of the periods in which a target is called alone.
type turn struct {
	rate, p50, p99 float64 // calls a second that succeeded; nanoseconds
}

// errNothingWorks is the error of a target of which no call succeeds in the
// warm-up.
var errNothingWorks = errors.New("no call succeeds")

// run calls the targets. They take turns in random order, so that what else the
// machine does falls on all alike. If ctx ends, it returns the results so far.
func (t test) run(ctx context.Context, log io.Writer) (_ []outcome, err error) {
	t.turn = min(t.turn, t.duration)
	if len(t.targets) == 1 {
		t.turn = t.duration
	}
	results := make([]outcome, len(t.targets))
	callers := make([][]caller, len(t.targets))
	for i, target := range t.targets {
		client, all, openErr := t.open(target, t.callers)
		if openErr != nil {
			return nil, fmt.Errorf("%s: %w", target.name, openErr)
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		results[i], callers[i] = outcome{target: target, totals: newTotals()}, all
		if err := t.warm(ctx, target, all); err != nil {
			return nil, err
		}
	}
	for left := t.duration; left > 0 && ctx.Err() == nil; left -= t.turn {
		for _, i := range rand.Perm(len(t.targets)) {
			if ctx.Err() != nil {
				break
			}
			r := newRecord()
			done := t.report(log, t.targets[i].name, t.duration-left, r)
			t.load.run(ctx, min(t.turn, left), callers[i], r)
			done()
			results[i].add(r)
		}
	}
	return results, nil
}

// warm opens the connections and finds a target that cannot be called.
func (t test) warm(ctx context.Context, target target, callers []caller) error {
	r := newRecord()
	t.load.run(ctx, t.warmUp, callers, r)
	s := r.sum()
	if s.calls == 0 || s.failed < s.calls {
		return nil
	}
	for _, text := range s.example {
		return fmt.Errorf("%s: %w: %s", target.name, errNothingWorks, text)
	}
	return nil
}

// report prints from time to time how far a turn is, until the function that it
// returns is called.
func (t test) report(log io.Writer, name string, before time.Duration, r *record) (stop func()) {
	if t.progress <= 0 {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		begun, last, lastCalls := time.Now(), time.Now(), int64(0)
		for ticks := time.NewTicker(t.progress); ; {
			select {
			case <-done:
				ticks.Stop()
				return
			case <-ticks.C:
			}
			now := time.Now()
			calls, failed := r.counts()
			fmt.Fprintf(log, "%v of %v  %s: %s calls/s, %s calls, %d failed\n", (before + now.Sub(begun)).Round(time.Second/10),
				t.duration, name, count(float64(calls-lastCalls)/now.Sub(last).Seconds()), count(float64(calls)), failed)
			last, lastCalls = now, calls
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// add adds a turn.
func (o *outcome) add(r *record) {
	s := r.sum()
	o.length += r.length
	o.merge(s)
	if s.calls > 0 && r.length > 0 {
		o.turns = append(o.turns, turn{
			rate: float64(s.calls-s.failed) / r.length.Seconds(),
			p50:  float64(s.fromDue.ValueAtQuantile(50)),
			p99:  float64(s.fromDue.ValueAtQuantile(99)),
		})
	}
}

// rate is how many calls a second succeeded.
func (o outcome) rate() float64 {
	if o.length <= 0 {
		return 0
	}
	return float64(o.calls-o.failed) / o.length.Seconds()
}

// spread is the least, the median and the greatest of some ratios.
type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// versus is the spread of the ratios of one outcome's turns to another's.
func (o outcome) versus(base outcome, figure func(turn) float64) (s spread, ok bool) {
	var ratios []float64
	for i := range min(len(o.turns), len(base.turns)) {
		if b := figure(base.turns[i]); b > 0 {
			ratios = append(ratios, figure(o.turns[i])/b)
		}
	}
	if len(ratios) == 0 {
		return s, false
	}
	slices.Sort(ratios)
	n := len(ratios)
	return spread{ratios[0], (ratios[(n-1)/2] + ratios[n/2]) / 2, ratios[n-1]}, true
}

func rateOf(t turn) float64 { return t.rate }
func p50Of(t turn) float64  { return t.p50 }
func p99Of(t turn) float64  { return t.p99 }
