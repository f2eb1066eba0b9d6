package gtcp

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// serverTotals adds up the connections of a client's servers. The counts of a
// server that has left stay in the sum, for a metric made from it must not fall.
type serverTotals struct {
	mu       sync.Mutex // guards the fields below
	open     map[*endpoint]struct{}
	pool     pool.Stat     // the counts of those that have been closed
	pipeline pipeline.Stat // the same
}

func (t *serverTotals) add(e *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*endpoint]struct{})
	}
	t.open[e] = struct{}{}
}

// shutdown closes the connections of a server, and keeps its counts.
func (t *serverTotals) shutdown(ctx context.Context, e *endpoint) error {
	err := e.shutdown(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.open[e]; ok {
		delete(t.open, e)
		var ofPool pool.Stat
		var ofPipeline pipeline.Stat
		e.stat(&ofPool, &ofPipeline)
		addStat(&t.pool, counts(ofPool))
		addStat(&t.pipeline, counts(ofPipeline))
	}
	return err
}

// stat returns the sums.
func (t *serverTotals) stat() (pool.Stat, pipeline.Stat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ofPool, ofPipeline := t.pool, t.pipeline
	for e := range t.open {
		var onePool pool.Stat
		var onePipeline pipeline.Stat
		e.stat(&onePool, &onePipeline)
		addStat(&ofPool, onePool)
		addStat(&ofPipeline, onePipeline)
	}
	return ofPool, ofPipeline
}

// counts is s without what describes the present only.
func counts[T any](s T) T {
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		sum := f.Type() == reflect.TypeFor[time.Duration]() && !largest[v.Type().Field(i).Name]
		if !sum && !f.CanUint() && f.Kind() != reflect.Array {
			f.SetZero()
		}
	}
	return s
}
