package gtcp

import (
	"reflect"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// connections is a pool, or a pipeline.
type connections interface {
	stat(ofPool *pool.Stat, ofPipeline *pipeline.Stat)
}

// totals adds up connections. The counts of a pool that is gone stay in the sum,
// because a metric made from it must not fall.
type totals struct {
	mu       sync.Mutex // guards the fields below
	open     map[connections]struct{}
	pool     pool.Stat     // the counts of those that are gone
	pipeline pipeline.Stat // the same
}

func (t *totals) add(c connections) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[connections]struct{})
	}
	t.open[c] = struct{}{}
}

// remove keeps the counts of c, which has been closed.
func (t *totals) remove(c connections) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.open[c]; !ok {
		return
	}
	delete(t.open, c)
	var ofPool pool.Stat
	var ofPipeline pipeline.Stat
	c.stat(&ofPool, &ofPipeline)
	addStat(&t.pool, counts(ofPool))
	addStat(&t.pipeline, counts(ofPipeline))
}

// stat returns the sums.
func (t *totals) stat() (pool.Stat, pipeline.Stat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ofPool, ofPipeline := t.pool, t.pipeline
	for c := range t.open {
		var onePool pool.Stat
		var onePipeline pipeline.Stat
		c.stat(&onePool, &onePipeline)
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
