package debugpage

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// maxRead is how many rows of a table are read at most.
const maxRead = 100_000

// collector makes the tables of one request.
type collector struct {
	page *Page
	now  time.Time

	clients, endpoints, pools, pipelines, servers, conns, failures, slow table

	counts  map[string]uint64 // for the rates of the next request
	summary summary
}

// summary is the page in a line.
type summary struct {
	conns, inUse, waiting int
	calls, requests       float64 // a second
	suspended, ejected    int
}

// collect reads all sources. It stops when ctx ends, with the error of ctx.
func (p *Page) collect(ctx context.Context) (*collector, error) {
	c := &collector{page: p, now: time.Now(), counts: map[string]uint64{}}
	c.begin()
	c.summary.calls, c.summary.requests = math.NaN(), math.NaN()
	for _, s := range p.shownSources() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.read(s)
	}
	c.events()
	p.rates.keep(c.now, c.counts)
	return c, nil
}

// read reads a source. One that panics, as an Addr method of the user's can, must
// not hide the others.
func (c *collector) read(s source) {
	defer func() {
		if v := recover(); v != nil {
			c.failures.rows = append(c.failures.rows, c.failureRow(failure{
				failureKey: failureKey{source: s.name, what: "page", kind: kindPanic}, first: c.now, last: c.now, count: 1,
				note: fmt.Sprintf("the %s cannot be shown: a panic of type %T", s.kind, v),
			}))
		}
	}()
	s.collect(c)
}

// all are the tables in the order of the page.
func (c *collector) all() []*table {
	return []*table{&c.clients, &c.endpoints, &c.pools, &c.pipelines, &c.servers, &c.conns, &c.failures, &c.slow}
}

// add appends a row to a table that is not too long for that.
func (t *table) add(r row) {
	if len(t.rows) >= maxRead {
		t.unread++
		return
	}
	t.rows = append(t.rows, r)
}

func (c *collector) client(name string, client *gtcp.Client) {
	s := client.Stat()
	mode := "exclusive"
	if s.Shared {
		mode = "shared"
	}
	var failed uint64
	var kinds []string
	for kind, n := range s.Errors {
		failed += n
		kinds = append(kinds, kind)
	}
	servers, mark := count(1), ""
	if len(s.Endpoints) > 0 || !s.Balance.Resolved.IsZero() || s.Balance.ResolveError != nil {
		servers, mark = serversOf(s.Balance)
	}
	rate := c.rate("calls/"+name, s.Calls)
	c.summary.calls = plus(c.summary.calls, rate)
	c.clients.add(row{mark: mark, cells: []cell{
		text(clean(name, maxName)), text(clean(client.Addr(), maxName)), text(mode), servers,
		count(s.Calls), perSecond(rate), few(failed), perSecond(c.rate("errors/"+name, failed)),
		kindTally(kinds, s.Errors), few(s.Retries), few(s.Hedges),
		text(c.page.errorText("resolve", s.Balance.ResolveError)),
	}})
	for _, e := range s.Endpoints {
		c.endpoint(name, e)
	}
	for addr, p := range client.Pools() {
		c.pool(poolID{kindClient, name, addr}, p)
	}
	for addr, p := range client.Pipelines() {
		c.pipeline(poolID{kindClient, name, addr}, p)
	}
}

// serversOf says how many servers of a set get calls.
func serversOf(s balance.Stat) (of cell, mark string) {
	of = cell{said: fmt.Sprintf("%d of %d", s.Available, s.Endpoints), value: s.Available, order: float64(s.Available)}
	if s.Available < s.Endpoints || s.Endpoints == 0 || s.ResolveError != nil {
		mark = markWarn
	}
	if s.Panic {
		of.said += ", too many fail: all are used"
		mark = markBad
	}
	if s.Draining > 0 {
		of.said += fmt.Sprintf(", %d leaving", s.Draining)
	}
	return of, mark
}

// balancer shows a set of endpoints without a client.
func (c *collector) balancer(name string, s balance.Stat, nodes iter.Seq[balance.NodeStat]) {
	var calls, failed uint64
	for n := range nodes {
		calls += n.Succeeded + n.Failed
		failed += n.Failed
		c.endpoint(name, gtcp.EndpointStat{NodeStat: n})
	}
	servers, mark := serversOf(s)
	rate := c.rate("balancer/"+name, calls)
	c.clients.add(row{mark: mark, cells: []cell{
		text(clean(name, maxName)), text(""), text("balancer"), servers,
		count(calls), perSecond(rate), few(failed), perSecond(c.rate("balancer errors/"+name, failed)),
		kindTally(nil, nil), few(0), few(0), text(c.page.errorText("resolve", s.ResolveError)),
	}})
}

func (c *collector) endpoint(name string, e gtcp.EndpointStat) {
	mark := ""
	switch e.State {
	case balance.Ejected:
		mark = markBad
		c.summary.ejected++
	case balance.Quiet, balance.Leaving, balance.Removed:
		mark = markWarn
	}
	c.endpoints.add(row{mark: mark, cells: []cell{
		text(clean(name, maxName)), text(clean(e.Endpoint.String(), maxName)), text(e.State.String()), since(c.now, e.Since),
		few(e.InFlight), took(e.Latency), count(e.Succeeded), few(e.Failed), few(e.Refused),
		few(e.Pool.Open + e.Pipeline.Open), text(clean(e.Endpoint.Zone, maxName)),
		number(e.Endpoint.Priority), count(e.Endpoint.Weight),
	}})
}

func (c *collector) pool(id poolID, p interface {
	Stat() pool.Stat
	Conns() iter.Seq[pool.ConnStat]
}) {
	c.poolOf(id, p.Stat(), p)
}

func (c *collector) poolOf(id poolID, s pool.Stat, p interface {
	Conns() iter.Seq[pool.ConnStat]
}) {
	failed := s.Timeouts + s.Refused + s.Overloaded + s.Failed
	dialing, mark := c.dialing(s.Dialing, s.Suspended, s.SuspendedUntil, s.LastDialError)
	if s.Waiting > 0 && mark == "" {
		mark = markWarn
	}
	limit := count(s.MaxConns)
	if s.MaxConns == 0 {
		limit = cell{said: "none", value: 0, order: math.Inf(1)}
	}
	c.pools.add(row{mark: mark, of: p, id: id, cells: []cell{
		text(id.kind), id.title(), text(clean(id.addr, maxName)),
		few(s.Open), few(s.Idle), few(s.Used), limit,
		few(s.Waiting), took(s.OldestWait), count(s.Gets), perSecond(c.rate("gets/"+id.key(), s.Gets)),
		took(s.HoldTime), took(average(s.WaitTime, s.Waits)), few(failed), few(s.Canceled),
		count(s.Dials), few(s.DialErrors), dialing[0], dialing[1], dialing[2],
		tally(len(s.Evictions), func(i int) string { return pool.Reason(i).String() }, func(i int) uint64 { return s.Evictions[i] }),
	}})
	c.summary.waiting += s.Waiting
	for v := range p.Conns() {
		state, uses := "idle", 0
		if v.InUse {
			state, uses = "in use", 1
		}
		idle := took(0)
		if !v.InUse {
			idle = since(c.now, v.Since)
		}
		c.conn(id, p, connRow{
			id: v.ID, state: state, inFlight: uses, cells: [...]cell{
				address(v.LocalAddr), address(v.RemoteAddr), since(c.now, v.CreatedAt), idle, until(c.now, v.ExpiresAt),
				count(v.Uses), size(v.BytesRead), size(v.BytesWritten),
			},
		})
	}
}

func (c *collector) pipeline(id poolID, p interface {
	Stat() pipeline.Stat
	Conns() iter.Seq[pipeline.ConnStat]
}) {
	s := p.Stat()
	dials := 0
	if s.Dialing {
		dials = 1
	}
	dialing, mark := c.dialing(dials, s.Suspended, s.SuspendedUntil, s.LastDialError)
	if s.Waiting > 0 && mark == "" {
		mark = markWarn
	}
	c.pipelines.add(row{mark: mark, of: p, id: id, cells: []cell{
		text(id.kind), id.title(), text(clean(id.addr, maxName)),
		few(s.Open), few(s.InFlight), few(s.Abandoned), few(s.Waiting),
		count(s.Calls), perSecond(c.rate("pipeline/"+id.key(), s.Calls)), count(s.Replies),
		few(s.Failed), few(s.Timeouts), few(s.Canceled), few(s.Late),
		ratio(s.Calls, s.Writes), count(s.Dials), few(s.DialErrors),
		dialing[0], dialing[1], dialing[2],
		tally(len(s.Ends), func(i int) string { return pipeline.Reason(i).String() }, func(i int) uint64 { return s.Ends[i] }),
	}})
	c.summary.waiting += s.Waiting
	for v := range p.Conns() {
		state := "ready"
		switch {
		case v.Leaving:
			state = "leaving"
		case v.Silent:
			state = "silent"
		case v.InFlight > 0:
			state = "in use"
		}
		idle := took(0)
		if v.InFlight == 0 {
			idle = since(c.now, v.LastUsed)
		}
		c.conn(id, p, connRow{id: v.ID, state: state, inFlight: v.InFlight, cells: [...]cell{
			address(v.LocalAddr), address(v.RemoteAddr), since(c.now, v.CreatedAt), idle, until(c.now, v.ExpiresAt),
			count(v.Calls), size(v.BytesRead), size(v.BytesWritten),
		}})
	}
}

func (c *collector) server(id poolID, p interface {
	Stat() server.Stat
	Conns() iter.Seq[server.ConnStat]
}) {
	s := p.Stat()
	rate := c.rate("requests/"+id.name, s.Requests)
	c.summary.requests = plus(c.summary.requests, rate)
	mark := ""
	if s.Listeners == 0 {
		mark = markWarn
	}
	c.servers.add(row{mark: mark, cells: []cell{
		text(clean(id.name, maxName)), few(s.Listeners), few(s.Open), few(s.Active), few(s.Idle), few(s.InProgress), limiterOf(p),
		count(s.Requests), perSecond(rate), count(s.Accepted), few(s.RefusedMaxConns + s.RefusedPerIP),
		few(s.Overloaded), few(s.Oversize), few(s.Panics), few(s.HandshakeFailures), few(s.AcceptErrors),
		few(s.ReadTimeouts), few(s.WriteTimeouts), few(s.IdleTimeouts),
	}})
	for v := range p.Conns() {
		idle := since(c.now, v.IdleSince)
		idle.as = atLeast1
		c.conn(id, p, connRow{id: v.ID, state: v.State.String(), inFlight: v.InProgress, cells: [...]cell{
			address(v.LocalAddr), address(v.RemoteAddr), since(c.now, v.AcceptedAt), idle, until(c.now, time.Time{}),
			count(v.Requests), size(v.BytesRead), size(v.BytesWritten),
		}})
	}
}

// limiterOf says what a server's Limiter allows and how many requests wait for it.
func limiterOf(p any) cell {
	srv, _ := p.(*server.Server)
	if srv == nil {
		return took(0)
	}
	h, _ := srv.Handler.(*server.FrameHandler)
	if h == nil || h.Limiter == nil {
		return took(0)
	}
	s := h.Limiter.Stat()
	c := cell{said: grouped(uint64(s.Bound)), order: float64(s.Bound), value: s.Bound}
	if s.Waiting > 0 {
		c.said += ", " + grouped(uint64(s.Waiting)) + " waiting"
	}
	return c
}

// connRow is what pools, pipelines and servers say of a connection.
type connRow struct {
	id       uint64
	state    string
	inFlight int
	cells    [8]cell // local, remote, age, idle, expires, uses, read, written
}

func (c *collector) conn(id poolID, of any, r connRow) {
	c.summary.conns++
	mark := ""
	switch r.state {
	case "in use", "active", "leaving":
		c.summary.inUse++
	case "silent":
		c.summary.inUse++
		mark = markWarn
	}
	cells := append(make([]cell, 0, 13), text(id.kind), id.title(), count(r.id), r.cells[1], r.cells[0], text(r.state),
		r.cells[2], r.cells[3], r.cells[4], r.cells[5], few(r.inFlight), r.cells[6], r.cells[7])
	c.conns.add(row{mark: mark, cells: cells, of: of, id: id, conn: r.id})
}

// dialing are the cells that say whether a pool or a pipeline dials, and why not.
func (c *collector) dialing(dials int, suspended bool, until time.Time, last error) (cells [3]cell, mark string) {
	why := c.page.errorText(whatDial, last)
	says := "as needed"
	switch in := until.Sub(c.now); {
	case suspended && in > 0:
		says = "suspended, next in " + duration(in)
	case suspended:
		says = "suspended, next now"
	case dials > 0:
		says = grouped(uint64(dials)) + " in progress"
	}
	if suspended {
		mark = markBad
		c.summary.suspended++
	}
	said := cell{said: says, value: dials}
	if why != "" {
		said.said += "; last error: " + why
	}
	return [3]cell{said, {value: suspended}, text(why)}, mark
}

// title names a pool. One of NewPoolConn has only an address.
func (id poolID) title() cell {
	if id.name == "" {
		return text(clean(id.addr, maxName))
	}
	return text(clean(id.name, maxName))
}

// key is the id as one word.
func (id poolID) key() string { return strings.Join([]string{id.kind, id.name, id.addr}, "\x00") }

// rates keeps counts of earlier requests.
type rates struct {
	mu        sync.Mutex // guards what follows
	old, last counted
}

// counted are counts at one time.
type counted struct {
	at     time.Time
	counts map[string]uint64
}

// rateOver is how much time a rate is measured over, at least.
const rateOver = time.Second

// keep notes the counts of a request. They replace those of the last one when
// that is a while ago, so that two readers do not disturb each other.
func (r *rates) keep(now time.Time, counts map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last.at) >= rateOver {
		r.old, r.last = r.last, counted{now, counts}
	}
}

// before is what there was at least rateOver ago.
func (r *rates) before(now time.Time) counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last.at) >= rateOver {
		return r.last
	}
	return r.old
}

// rate is how much a count has grown a second since an earlier request, not a
// number if there was none.
func (c *collector) rate(key string, n uint64) float64 {
	c.counts[key] = n
	before := c.page.rates.before(c.now)
	was, known := before.counts[key]
	if !known || n < was {
		return math.NaN()
	}
	return float64(n-was) / c.now.Sub(before.at).Seconds()
}

// plus adds rates, of which some are not known.
func plus(sum, rate float64) float64 {
	switch {
	case math.IsNaN(sum):
		return rate
	case math.IsNaN(rate):
		return sum
	}
	return sum + rate
}
