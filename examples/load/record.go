package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// longest is the greatest latency that a histogram holds; longer ones count as
// this.
const longest = time.Hour

// lateAfter is how long after its due time a call starts late: later than a timer
// of the system explains.
const lateAfter = 5 * time.Millisecond

// notSentKind is the kind of a call that was due and never made.
const notSentKind = "not sent"

// record collects the calls of one target. Goroutines add to different shards, so
// that they do not wait for each other.
type record struct {
	shards []*shard
	length time.Duration // for how long calls were made
}

type shard struct {
	mu sync.Mutex // guards what follows
	totals
}

// totals are sums and histograms of calls.
type totals struct {
	calls, failed, late int64
	kinds               map[string]int64
	example             map[string]string // an error of each kind
	fromDue, fromStart  *hdrhistogram.Histogram
}

func newTotals() totals {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), 3) }
	return totals{kinds: map[string]int64{}, example: map[string]string{}, fromDue: h(), fromStart: h()}
}

func newRecord() *record {
	r := &record{}
	for range 2 * runtime.GOMAXPROCS(0) {
		r.shards = append(r.shards, &shard{totals: newTotals()})
	}
	return r
}

func (r *record) shard(i int) *shard { return r.shards[i%len(r.shards)] }

func (r *record) took(length time.Duration) { r.length += length }

// add adds a call that has ended.
func (s *shard) add(due, start, end time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if start.Sub(due) > lateAfter {
		s.late++
	}
	if err != nil {
		s.fail(conn.KindOf(err), err.Error())
	}
	note(s.fromDue, end.Sub(due))
	note(s.fromStart, end.Sub(start))
}

// notSent adds a call that was due and has not been made.
func (s *shard) notSent(waited time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.late++
	s.fail(notSentKind, "all callers were busy until the end")
	note(s.fromDue, waited)
}

func (s *shard) fail(kind, text string) {
	s.failed++
	s.kinds[kind]++
	if s.example[kind] == "" {
		s.example[kind] = text
	}
}

func note(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(int64(min(max(d, 0), longest))) // within its limits
}

// counts are the calls so far.
func (r *record) counts() (calls, failed int64) {
	for _, s := range r.shards {
		s.mu.Lock()
		calls, failed = calls+s.calls, failed+s.failed
		s.mu.Unlock()
	}
	return calls, failed
}

// sum is all shards together. Nobody may add to r any more.
func (r *record) sum() totals {
	all := newTotals()
	for _, s := range r.shards {
		s.mu.Lock()
		all.merge(s.totals)
		s.mu.Unlock()
	}
	return all
}

func (t *totals) merge(o totals) {
	t.calls += o.calls
	t.failed += o.failed
	t.late += o.late
	for kind, n := range o.kinds {
		t.kinds[kind] += n
		if t.example[kind] == "" {
			t.example[kind] = o.example[kind]
		}
	}
	t.fromDue.Merge(o.fromDue)
	t.fromStart.Merge(o.fromStart)
}
