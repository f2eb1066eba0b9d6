package pooltest

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// seedOf returns the seed for random choices and reports it if the test fails.
func seedOf(t testing.TB) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("POOLTEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("POOLTEST_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to see it again: POOLTEST_SEED=%d", seed)
		}
	})
	return seed
}

const (
	modelRuns  = 60  // bubbles
	modelSteps = 120 // operations in each
)

// testModel runs random operations against the model.
func testModel(t *testing.T, open backend.OpenFunc[*Resource]) {
	stop := watch(t)
	defer stop()
	seed := seedOf(t)
	for run := range uint64(modelRuns) {
		rnd := rand.New(rand.NewPCG(seed, run))
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, open, backend.Limits{Max: 1 + rnd.IntN(4)})
			m := &model{world: w, rnd: rnd, max: w.limits.Max, gates: make(map[int]*gate), gens: make(map[*Resource]int)}
			_, m.late = w.b.(backend.LateBinder)
			if r, ok := w.b.(backend.Resizer); ok && run%2 == 0 {
				m.resizer = r
				w.loose.Store(true) // compare sees to the maximum
			}
			defer w.finish()
			defer m.openGates()
			w.dial = m.gate
			for range modelSteps {
				m.step()
			}
		})
		if t.Failed() {
			return
		}
	}
}

// model is what a backend may do, one operation at a time. It does not foretell
// when a dial begins, which is seen, but what must follow from what is there:
// who is served with what, who fails, what is closed, and the gauges.
type model struct {
	*world
	rnd  *rand.Rand
	max  int
	late bool
	// resizer changes the maximum now and then; nil: it stays
	resizer backend.Resizer

	gens  map[*Resource]int          // clears before it; New may run in a Clear and not know
	idle  []*Resource                // of this generation, in no order
	out   []*call                    // each with its lease
	queue []*call                    // waiting, in the order in which they came
	over  []backend.Lease[*Resource] // leases that have ended
	log   []string                   // for a failure's message

	gates map[int]*gate // dials in progress, by number; guarded by world.mu
}

// gate is a dial in progress.
type gate struct {
	n      int
	ctx    context.Context
	caller int // whom it was begun for
	result chan error
}

// void reports whether the dial was given up: whatever comes of it, nobody may
// be told. Nothing else ends its context here.
func (g *gate) void() bool { return g.ctx.Err() != nil }

// gate is what a dial does: it waits for the model. Those of every other caller
// heed their contexts; the rest go on when they are given up.
func (m *model) gate(ctx context.Context, n int) error {
	g := &gate{n: n, ctx: ctx, result: make(chan error, 1)}
	g.caller, _ = ctx.Value(callerKey).(int)
	m.mu.Lock()
	m.gates[n] = g
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.gates, n)
		m.mu.Unlock()
	}()
	ended := ctx.Done()
	if g.caller%2 == 0 {
		ended = m.ctx.Done()
	}
	select {
	case err := <-g.result:
		return err
	case <-ended:
		return context.Canceled
	}
}

// openGates ends all dials.
func (m *model) openGates() { m.cancel() }

// dialing returns the dials in progress by caller, the oldest of each first: the
// order of all would be another each time, where many begin at once.
func (m *model) dialing() []*gate {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*gate
	for _, g := range m.gates {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *gate) int { return cmp.Or(a.caller-b.caller, a.n-b.n) })
	return all
}

// wrong reports a deviation with what led to it.
func (m *model) wrong(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.log)-15)
	m.t.Logf("the last operations: %q", m.log[from:])
	m.failf(format, args...)
}

// step does one random operation and compares.
func (m *model) step() {
	time.Sleep(time.Millisecond) // one operation, one moment
	switch k := m.rnd.IntN(100); {
	case k < 40:
		m.acquire()
	case k < 50 && len(m.queue) > 0:
		m.giveUp(m.rnd.IntN(len(m.queue)))
	case k < 70 && len(m.out) > 0:
		m.giveBack(m.rnd.IntN(len(m.out)))
	case k < 92:
		if all := m.dialing(); len(all) > 0 {
			m.endDial(all[m.rnd.IntN(len(all))])
		}
	case k < 95:
		m.sweepSome()
	case k < 97:
		m.clearAll()
	case k < 98 && m.resizer != nil:
		m.resizeSome()
	case len(m.over) > 0:
		m.returnStale()
	}
	m.compare()
}

func (m *model) note(s string) { m.log = append(m.log, s) }

// acquire is an Acquire: served at once if something is idle.
func (m *model) acquire() {
	c := m.start()
	m.note("acquire by " + c.String())
	if len(m.idle) == 0 {
		if !c.pending() {
			m.wrong("nothing is idle and no dial has ended: %v", c)
		}
		m.queue = append(m.queue, c)
		return
	}
	if !c.served() {
		m.wrong("%d are idle: %v", len(m.idle), c)
	}
	m.take(c)
}

// take moves what c was served with from idle to in use.
func (m *model) take(c *call) {
	i := slices.Index(m.idle, c.lease.Value)
	if i < 0 {
		m.wrong("not idle: %v", c)
	}
	m.idle = slices.Delete(m.idle, i, i+1)
	m.out = append(m.out, c)
}

// giveUp cancels a waiting call.
func (m *model) giveUp(i int) {
	c := m.queue[i]
	m.note("cancel " + c.String())
	m.queue = slices.Delete(m.queue, i, i+1)
	c.cancel()
	synctest.Wait()
	if !c.done.Load() || !errors.Is(c.err, context.Canceled) {
		m.wrong("cancelled: %v", c)
	}
}

// giveBack is a Return.
func (m *model) giveBack(i int) {
	c := m.out[i]
	v := backend.Verdict(m.rnd.IntN(3) / 2)
	m.note(v.String() + " by " + c.String())
	m.out = slices.Delete(m.out, i, i+1)
	r := c.lease.Value
	surplus := m.open()+1 > m.max // r is out of the list already
	m.put(c.lease, v)
	m.over = append(m.over, c.lease)
	synctest.Wait()
	if v == backend.Discard || m.gens[r] != m.gen || surplus {
		m.closed(r, "returned")
		return
	}
	m.idle = append(m.idle, r)
	m.serve(nil)
}

// closed sees that r has been closed.
func (m *model) closed(r *Resource, why string) {
	m.t.Helper()
	if r.closed.Load() != 1 {
		m.wrong("resource %d, %s, is closed %d times", r.ID, why, r.closed.Load())
	}
}

// serve sees that what became idle is with who has waited longest: of all, if
// the backend binds late; else with owner, whose dial made it, or the first
// without a dial in progress.
func (m *model) serve(owner *call) {
	i := 0
	switch {
	case m.late:
	case owner != nil:
		i = slices.Index(m.queue, owner)
	default:
		own := make(map[int]bool)
		for _, g := range m.dialing() {
			own[g.caller] = true
		}
		i = slices.IndexFunc(m.queue, func(c *call) bool { return c.served() || !own[c.id] })
	}
	if i < 0 || i >= len(m.queue) {
		return // nobody waits for it
	}
	c := m.queue[i]
	if !c.served() {
		m.wrong("its turn: %v; %v", c, m.stat())
	}
	m.queue = slices.Delete(m.queue, i, i+1)
	m.take(c)
}

// endDial lets a dial succeed or fail.
func (m *model) endDial(g *gate) {
	var owner *call
	for _, c := range m.queue {
		if c.id == g.caller {
			owner = c
		}
	}
	cause := errors.New("dial " + strconv.Itoa(g.n))
	if m.rnd.IntN(3) > 0 {
		cause = nil
	}
	m.note("dial for " + strconv.Itoa(g.caller) + " ends")
	void := g.void()
	g.result <- cause
	synctest.Wait()
	if cause != nil {
		if !void { // else nobody is told: see compare
			m.dialFailed(owner, cause)
		}
		return
	}
	m.mu.Lock()
	r := m.made[len(m.made)-1]
	m.mu.Unlock()
	if void {
		m.closed(r, "whose dial was given up")
		return
	}
	m.gens[r] = m.gen
	m.idle = append(m.idle, r)
	m.serve(owner)
}

// dialFailed sees that the one the dial was made for is told, or if that one
// waits no longer, at most one other.
func (m *model) dialFailed(owner *call, cause error) {
	var told []*call
	for _, c := range m.queue {
		if c.done.Load() {
			if !errors.Is(c.err, cause) {
				m.wrong("%v while a dial fails with %v", c, cause)
			}
			told = append(told, c)
		}
	}
	if len(told) > 1 || owner != nil && (len(told) == 0 || told[0] != owner) {
		m.wrong("%v is told to %v, it was the dial of %v", cause, told, owner)
	}
	m.queue = slices.DeleteFunc(m.queue, func(c *call) bool { return c.done.Load() })
}

// sweepSome sweeps a third of what is idle.
func (m *model) sweepSome() {
	m.note("sweep")
	shown := m.sweep(func(r *Resource) bool { return r.ID%3 != 0 })
	synctest.Wait()
	if len(shown) != len(m.idle) {
		m.wrong("Sweep shows %d resources, %d are idle", len(shown), len(m.idle))
	}
	m.idle = slices.DeleteFunc(m.idle, func(r *Resource) bool {
		if r.ID%3 == 0 {
			m.closed(r, "swept")
		}
		return r.ID%3 == 0
	})
}

// clearAll clears.
func (m *model) clearAll() {
	m.note("clear")
	dials := m.dialing()
	m.clear()
	synctest.Wait()
	for _, r := range m.idle {
		m.closed(r, "cleared")
	}
	m.idle = nil
	for _, g := range dials {
		if !g.void() {
			m.wrong("Clear does not end the dial for %d", g.caller)
		}
	}
}

// returnStale returns a lease twice.
func (m *model) returnStale() {
	m.note("stale return")
	m.stale(m.over[m.rnd.IntN(len(m.over))], "a lease returned before")
}

// compare compares what is at rest.
func (m *model) compare() {
	synctest.Wait()
	for _, c := range m.queue {
		if c.done.Load() {
			m.wrong("nothing came free: %v", c)
		}
	}
	dials := m.dialing()
	s := m.b.Stat()
	if s.Idle != len(m.idle) || s.Used != len(m.out) || s.Dialing != len(dials) || s.Waiting != len(m.queue) {
		m.wrong("%v; want idle %d, in use %d, dialing %d, waiting %d",
			m.stat(), len(m.idle), len(m.out), len(dials), len(m.queue))
	}
	live := len(m.live())
	if m.open() > m.max && len(m.idle)+live > 0 || m.open()+live > m.max && live > 0 {
		m.wrong("beyond max: %v, %d of the dials not given up", m.stat(), live)
	}
	room := m.max - m.open() - len(dials)
	if room < 0 && m.resizer == nil {
		m.wrong("beyond max: %v", m.stat())
	}
	if !m.late {
		live = len(dials) // one that was given up may have to end before the next
	}
	if room > 0 && live < len(m.queue) {
		m.wrong("there is room, and %d callers wait for %d dials", len(m.queue), live)
	}
}
