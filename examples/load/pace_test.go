package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

const ms = time.Millisecond

// crowd is n callers that call the same function.
func crowd(n int, call caller) []caller {
	all := make([]caller, n)
	for i := range all {
		all[i] = call
	}
	return all
}

// stalling is a server that replies at once, but not from one time to another.
func stalling(from, to time.Duration) caller {
	begun := time.Now()
	return func() error {
		if at := time.Since(begun); at >= from && at < to {
			time.Sleep(to - at)
		}
		return nil
	}
}

func near(t *testing.T, want time.Duration, h *hdrhistogram.Histogram, percentile float64) {
	t.Helper()
	require.InDelta(t, float64(want), float64(h.ValueAtQuantile(percentile)), float64(want)/500+float64(ms), "p%v", percentile)
}

// TestOpenLoopKeepsItsRate holds whatever a call takes, as long as callers are
// free.
func TestOpenLoopKeepsItsRate(t *testing.T) {
	for _, c := range []struct {
		name          string
		rate          float64
		callers       int
		takes, length time.Duration
		want          int64
	}{
		{"quick calls", 1000, 4, 0, 2 * time.Second, 2000},
		{"slow calls, callers enough", 100, 50, 400 * ms, 3 * time.Second, 300},
		{"a rate below 1", 0.5, 2, ms, 6 * time.Second, 3},
		{"a rate that is no whole number", 3.5, 2, ms, 2 * time.Second, 7},
		{"one caller", 10, 1, 99 * ms, time.Second, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecord()
				load{rate: c.rate, grace: time.Second, sleep: time.Sleep}.run(t.Context(), c.length, crowd(c.callers, func() error {
					time.Sleep(c.takes)
					return nil
				}), r)
				s := r.sum()
				require.Equal(t, c.want, s.calls)
				require.Zero(t, s.failed)
				require.Zero(t, s.late)
				near(t, c.takes, s.fromDue, 100)
				near(t, c.takes, s.fromStart, 100)
				require.GreaterOrEqual(t, r.length, c.length)
			})
		})
	}
}

// TestStallIsNotOmitted is the coordinated omission: a server stands still for
// 500 ms of 2 s, so a quarter of the calls were due and waited. Who counts from
// the start of a call sees only as many slow calls as there are callers.
func TestStallIsNotOmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 4
		r := newRecord()
		load{rate: 1000, grace: time.Second, sleep: time.Sleep}.run(t.Context(), 2*time.Second, crowd(callers, stalling(time.Second, 1500*ms)), r)
		s := r.sum()
		require.EqualValues(t, 2000, s.calls)
		near(t, 0, s.fromDue, 74)
		near(t, 300*ms, s.fromDue, 90) // 200 of 2,000 calls waited for longer
		near(t, 480*ms, s.fromDue, 99)
		near(t, 500*ms, s.fromDue, 100)
		near(t, 0, s.fromStart, 99.7)
		near(t, 500*ms, s.fromStart, 100)
		require.EqualValues(t, 491, s.late, "all but those in progress, if they waited for more than 5 ms")
		require.Equal(t, 2*time.Second, r.length)
	})
}

// TestBacklogIsWorkedOff makes the calls that are due although the time is over,
// within the grace.
func TestBacklogIsWorkedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		load{rate: 100, grace: time.Second, sleep: time.Sleep}.run(t.Context(), time.Second, crowd(2, stalling(500*ms, 1200*ms)), r)
		s := r.sum()
		require.EqualValues(t, 100, s.calls)
		require.Zero(t, s.failed)
		require.Equal(t, 1200*ms, r.length)
	})
}

// TestSilentServer bounds the run, and counts the calls that could not be made.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := newRecord()
		load{rate: 100, grace: time.Second, sleep: time.Sleep}.run(t.Context(), time.Second, crowd(2, func() error {
			time.Sleep(time.Second) // the time limit of a call
			return context.DeadlineExceeded
		}), r)
		require.Equal(t, 3*time.Second, time.Since(begun), "length, grace, and one more limit")
		s := r.sum()
		require.EqualValues(t, 100, s.calls)
		require.EqualValues(t, 100, s.failed)
		require.Equal(t, map[string]int64{conn.KindTimeout: 5, notSentKind: 95}, s.kinds, "three of the first caller, two of the second")
		require.GreaterOrEqual(t, s.fromDue.ValueAtQuantile(1), int64(time.Second), "the time that they waited counts")
		require.EqualValues(t, 5, s.fromStart.TotalCount())
	})
}

// TestClosedLoopCallsOnce has a time that is over before a caller begins.
func TestClosedLoopCallsOnce(t *testing.T) {
	for length, want := range map[time.Duration]int64{0: 0, 1: 3} {
		r := newRecord()
		load{}.run(t.Context(), length, crowd(3, func() error { time.Sleep(ms); return nil }), r)
		require.Equal(t, want, r.sum().calls)
	}
}

func TestClosedLoopCallsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		load{}.run(t.Context(), time.Second, crowd(3, func() error {
			time.Sleep(10 * ms)
			return nil
		}), r)
		s := r.sum()
		require.EqualValues(t, 300, s.calls)
		near(t, 10*ms, s.fromDue, 50)
		require.Equal(t, time.Second, r.length)
	})
}

// TestInterrupt ends both loops early, with the calls so far and no others.
func TestInterrupt(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 1505*ms)
			defer cancel()
			r := newRecord()
			load{rate: rate, grace: time.Second, sleep: time.Sleep}.run(ctx, time.Minute, crowd(1, func() error {
				time.Sleep(10 * ms)
				return nil
			}), r)
			s := r.sum()
			require.EqualValues(t, 151, s.calls)
			require.Zero(t, s.failed)
			require.InDelta(t, 1505*ms, r.length, float64(5*ms))
		})
	}
}

// TestInterruptInAStall counts the calls that were due by then.
func TestInterruptInAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 505*ms)
		defer cancel()
		r := newRecord()
		load{rate: 100, grace: time.Second, sleep: time.Sleep}.run(ctx, time.Minute, crowd(3, stalling(200*ms, 900*ms)), r)
		s := r.sum()
		require.EqualValues(t, 51, s.calls)
		require.EqualValues(t, 51-20-3, s.kinds[notSentKind])
	})
}

func TestFailuresByKind(t *testing.T) {
	r := newRecord()
	now := time.Now()
	for i, err := range []error{nil, io.EOF, io.ErrUnexpectedEOF, errors.New("what"), errWrongReply} {
		r.shard(i).add(now, now, now.Add(2*longest), err)
	}
	s := r.sum()
	require.EqualValues(t, 5, s.calls)
	require.EqualValues(t, 4, s.failed)
	require.Equal(t, map[string]int64{conn.KindPeerClosed: 2, conn.KindOther: 1, "wrong reply": 1}, s.kinds)
	require.Equal(t, "what", s.example[conn.KindOther])
	near(t, longest, s.fromDue, 100)
}

// TestExactSleep looks only at what must hold on a busy machine too.
func TestExactSleep(t *testing.T) {
	for _, d := range []time.Duration{time.Microsecond, 20 * ms, 1500 * ms / 1000} {
		begun := time.Now()
		for time.Since(begun) < d {
			exactSleep(d - time.Since(begun))
		}
		require.GreaterOrEqual(t, time.Since(begun), d)
	}
}
