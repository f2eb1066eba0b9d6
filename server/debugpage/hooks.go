package debugpage

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Hooks returns what observes errors and slow calls for the page, under a name:
// the value for the field Hooks of gtcp.ClientConfig, gtcp.PoolOptions,
// pool.Config, pipeline.Config and server.Server. A client that has it needs it
// in its Pool or Pipeline too for the page to show failed dials and connections
// that ended badly.
//
//	client := gtcp.NewClient(addr, gtcp.ClientConfig{
//		Hooks: page.Hooks("orders"),
//		Pool:  pool.Config{Hooks: page.Hooks("orders")},
//	})
//
// To use other hooks as well, append them to the result.
func (p *Page) Hooks(name string) []any { return []any{&recorder{p, name}} }

// recorder is the value in Page.Hooks.
type recorder struct {
	page *Page
	name string
}

var (
	_ gtcp.CallHook          = (*recorder)(nil)
	_ gtcp.AttemptHook       = (*recorder)(nil)
	_ pool.GetHook           = (*recorder)(nil)
	_ pool.EvictHook         = (*recorder)(nil)
	_ conn.DialHook          = (*recorder)(nil)
	_ pipeline.CallHook      = (*recorder)(nil)
	_ pipeline.EndHook       = (*recorder)(nil)
	_ server.RequestHook     = (*recorder)(nil)
	_ server.AcceptErrorHook = (*recorder)(nil)
	_ server.PanicHook       = (*recorder)(nil)
)

// What can fail, as the page says it.
const (
	whatCall     = "call"
	whatRetried  = "attempt, retried"
	whatCheckout = "checkout"
	whatDial     = "dial"
	whatEnd      = "connection"
	whatRequest  = "request"
	whatAccept   = "accept"
	whatPanic    = "handler or hook"

	kindPanic = "panic"
)

// call is what is known of a call of a client while it lasts.
type call struct {
	mu      sync.Mutex // guards what follows: attempts may overlap
	slowest gtcp.AttemptEnd
	failed  gtcp.AttemptEnd // the last that has
}

// callKey is the key of a call in its context, of one page.
type callKey struct{ page *Page }

// callOf returns the call of a context; nil if it has none, or none that this
// page is told of.
func (r *recorder) callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{r.page}).(*call)
	return c
}

// fail notes a failure at this moment.
func (r *recorder) fail(what, addr string, err error, took time.Duration, note string) {
	r.failAs("", what, addr, err, took, note)
}

// failAs is fail with a kind that the error does not know.
func (r *recorder) failAs(kind, what, addr string, err error, took time.Duration, note string) {
	r.page.events.fail(r.page.maxEvents(), failure{
		failureKey: failureKey{source: r.name, what: what, addr: addr, kind: kind},
		last:       time.Now(), err: err, took: took, note: note,
	})
}

// slower notes a call that has just ended and took long.
func (r *recorder) slower(s slowCall, err error) {
	if s.kind == "" {
		s.kind = conn.KindOf(err)
	}
	s.source, s.end = r.name, time.Now()
	r.page.events.slower(r.page.maxEvents(), s)
}

func (r *recorder) StartCall(ctx context.Context, _ gtcp.CallStart) context.Context {
	return context.WithValue(ctx, callKey{r.page}, &call{})
}

func (r *recorder) EndCall(ctx context.Context, e gtcp.CallEnd) {
	c := r.callOf(ctx)
	if c == nil {
		return
	}
	c.mu.Lock()
	slowest, failed := c.slowest, c.failed
	c.mu.Unlock()
	addr := e.Addr
	if slowest.Addr != "" {
		addr = slowest.Addr
	}
	switch {
	case e.Err != nil:
		if failed.Addr != "" {
			addr = failed.Addr
		}
		r.fail(whatCall, addr, e.Err, e.Duration, attempts(e.Attempts))
	case failed.Err != nil:
		r.fail(whatRetried, failed.Addr, failed.Err, failed.Duration, "the call succeeded after "+attempts(e.Attempts))
	}
	if e.Duration < r.page.slowCall() {
		return
	}
	phases := phasesOf(slowest.Phases, slowest.Duration)
	if e.Attempts > 1 {
		phases[maxPhases-1] = phase{"retries", e.Duration - slowest.Duration}
	}
	r.slower(slowCall{
		what: whatCall, addr: addr, took: e.Duration, phases: phases,
		attempts: e.Attempts, out: e.RequestSize, in: e.ReplySize,
	}, e.Err)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return strconv.Itoa(n) + " attempts"
}

func (r *recorder) StartAttempt(ctx context.Context, _ gtcp.AttemptStart) context.Context { return ctx }

func (r *recorder) EndAttempt(ctx context.Context, e gtcp.AttemptEnd) {
	c := r.callOf(ctx)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Duration >= c.slowest.Duration {
		c.slowest = e
	}
	if e.Err != nil {
		c.failed = e
	}
}

// phasesOf says where the time of an attempt or a call on one connection went.
func phasesOf(p conn.Phases, total time.Duration) [maxPhases]phase {
	if p.Acquired == 0 && p.Written == 0 { // it got no connection
		return [maxPhases]phase{{"wait", total}}
	}
	written, first := p.Written, p.FirstByte
	if written == 0 {
		written = total
	}
	if first == 0 {
		first = total
	}
	return [maxPhases]phase{
		{"wait", p.Acquired - p.Dialed}, {"dial", p.Dialed}, {"send", written - p.Acquired},
		{"reply", first - written}, {"read", total - first},
	}
}

func (r *recorder) AfterGet(ctx context.Context, e pool.GetEvent) {
	if r.callOf(ctx) != nil { // EndCall tells it
		return
	}
	if e.Err != nil {
		r.fail(whatCheckout, e.Addr, e.Err, e.Duration, "")
	}
	if e.Duration >= r.page.slowCall() {
		r.slower(slowCall{what: whatCheckout, addr: e.Addr, took: e.Duration, phases: [maxPhases]phase{{"wait", e.Duration - e.Dialed}, {"dial", e.Dialed}}}, e.Err)
	}
}

func (r *recorder) AfterEvict(e pool.EvictEvent) {
	switch e.Reason {
	case pool.Dead, pool.Dirty, pool.PeerClosed, pool.Broken, pool.TimedOut, pool.Suspect:
		r.fail(whatEnd, e.Addr, e.Err, 0, fmt.Sprintf("%s; number %d, after %s", e.Reason, e.ID, duration(e.Age)))
	}
}

func (r *recorder) AfterDial(_ context.Context, e conn.DialEvent) {
	if e.Err != nil {
		r.fail(whatDial, e.Addr, e.Err, e.Duration, "")
	}
}

func (r *recorder) AfterCall(ctx context.Context, e pipeline.CallEvent) {
	if r.callOf(ctx) != nil { // EndCall tells it
		return
	}
	addr := e.Peer
	if addr == "" {
		addr = e.Addr
	}
	if e.Err != nil {
		r.fail(whatCall, addr, e.Err, e.Duration, "")
	}
	if e.Duration >= r.page.slowCall() {
		r.slower(slowCall{
			what: whatCall, addr: addr, took: e.Duration, attempts: 1, out: e.RequestBytes, in: e.ReplyBytes,
			phases: phasesOf(e.Phases, e.Duration),
		}, e.Err)
	}
}

func (r *recorder) AfterEnd(e pipeline.EndEvent) {
	switch e.Reason {
	case pipeline.Broken, pipeline.PeerClosed, pipeline.Protocol, pipeline.Stalled:
		r.fail(whatEnd, e.Addr, e.Cause, 0, fmt.Sprintf("%s; number %d, after %s", e.Reason, e.ID, duration(time.Since(e.CreatedAt))))
	}
}

func (r *recorder) AfterRequest(_ context.Context, e server.RequestEvent) {
	err, kind, total := e.Err, "", e.QueueTime+e.HandleTime+e.WriteTime
	if err == server.ErrNoReply {
		err = nil
	}
	if e.Panicked {
		kind = kindPanic
	}
	if err != nil || e.Panicked {
		note := ""
		switch {
		case e.Panicked:
			note = "the handler panicked"
		case e.Refused:
			note = "refused before the handler"
		case !e.Replied:
			note = "no reply was written"
		}
		r.failAs(kind, whatRequest, hostOf(e.Peer), err, total, note)
	}
	if total >= r.page.slowCall() {
		r.slower(slowCall{
			what: whatRequest, addr: addrText(e.Peer), took: total, out: e.ReplyBytes, in: e.RequestBytes, kind: kind,
			phases: [maxPhases]phase{{"queue", e.QueueTime}, {"handle", e.HandleTime}, {"write", e.WriteTime}},
		}, err)
	}
}

func (r *recorder) AfterAcceptError(addr net.Addr, err error) {
	r.fail(whatAccept, addrText(addr), err, 0, "")
}

// AfterPanic tells the type of what a handler panicked with. Its text can hold
// data of a request.
func (r *recorder) AfterPanic(id uint64, value any, _ []byte) {
	r.failAs(kindPanic, whatPanic, "", nil, 0, fmt.Sprintf("panic of type %T; connection %d", value, id))
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// hostOf is an address without its port, so that the failures of one client
// count as one.
func hostOf(a net.Addr) string {
	s := addrText(a)
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return s
}
