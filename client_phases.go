package gtcp

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// attemptNotes is the context of an attempt that hooks are told of, and what it
// notes on its way. An interceptor may make the attempt several times, also at a
// time: the last to note something counts.
type attemptNotes struct {
	context.Context
	start time.Time // of the attempt

	mu     sync.Mutex // guards what follows
	phases conn.Phases
	id     uint64
	peer   string
}

// notesKey finds the attemptNotes in the context of an attempt.
type notesKey struct{}

// Value implements context.Context.
func (n *attemptNotes) Value(key any) any {
	if key == (notesKey{}) {
		return n
	}
	return n.Context.Value(key)
}

// notesOf returns the notes of an attempt that hooks are told of, else nil.
func notesOf(ctx context.Context) *attemptNotes {
	n, _ := ctx.Value(notesKey{}).(*attemptNotes)
	return n
}

// note notes a connection and the phases on it, which count from start.
func (n *attemptNotes) note(id uint64, peer string, start time.Time, p conn.Phases) {
	before := start.Sub(n.start)
	for _, at := range []*time.Duration{&p.Acquired, &p.Written, &p.FirstByte} {
		if *at > 0 || at == &p.Acquired {
			*at += before
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.id, n.peer, n.phases = id, peer, p
}

// now is the time since the attempt began. It is never zero, which would say that
// the attempt did not get that far: a clock may stand still for longer than it takes.
func (n *attemptNotes) now() time.Duration { return max(time.Since(n.start), 1) }

// replaced notes that an exclusive connection has taken the place of another. A
// nil n notes nothing.
func (n *attemptNotes) replaced(c *pool.Conn, dialed time.Duration) {
	if n != nil {
		n.note(c.ID(), text(c.RemoteAddr()), n.start, conn.Phases{Acquired: n.now(), Dialed: dialed})
	}
}

// written notes that the write of the request begins.
func (n *attemptNotes) written() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phases.Written = n.now()
}

// firstByte notes that the first byte of the reply has been read.
func (n *attemptNotes) firstByte() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phases.FirstByte = n.now()
}

// observed makes the attempt with the hooks told of it. The clock is read only
// if one of them wants to hear of its end.
func (a *callAttempt) observed(ctx context.Context, dst, request []byte) ([]byte, error) {
	hooks, addr := a.endpoint.client.hooks.attempts, a.endpoint.addr
	var few [4]context.Context
	contexts, wanted := few[:0], false
	for _, h := range hooks {
		of := h.StartAttempt(ctx, AttemptStart{Addr: addr, Number: a.number})
		contexts = append(contexts, of)
		if of != nil {
			ctx, wanted = of, true
		}
	}
	if !wanted {
		return a.endpoint.call(ctx, a.limit, dst, request)
	}
	notes := &attemptNotes{Context: ctx, start: time.Now()}
	reply, err := a.endpoint.call(notes, a.limit, dst, request)
	end := notes.end()
	end.Addr, end.Number, end.RequestSize, end.Err = addr, a.number, len(request), err
	if err == nil {
		end.ReplySize = max(len(reply)-len(dst), 0)
	}
	for i := len(contexts) - 1; i >= 0; i-- {
		if contexts[i] != nil {
			hooks[i].EndAttempt(contexts[i], end)
		}
	}
	return reply, err
}

// end returns what has been noted by now.
func (n *attemptNotes) end() AttemptEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	return AttemptEnd{Start: n.start, Duration: n.now(), Phases: n.phases, ConnID: n.id, Peer: n.peer}
}

// phasesHook hears of the attempts of a client with hooks from its pools and
// pipelines.
type phasesHook struct{}

// BeforeCall implements pipeline.CallStartHook: the times of a call are taken
// only if there is somebody to tell.
func (h phasesHook) BeforeCall(ctx context.Context, addr string) context.Context {
	return h.BeforeGet(ctx, addr)
}

// BeforeGet implements pool.GetStartHook, likewise.
func (phasesHook) BeforeGet(ctx context.Context, _ string) context.Context {
	if notesOf(ctx) == nil {
		return nil
	}
	return ctx
}

// AfterCall implements pipeline.CallHook.
func (phasesHook) AfterCall(ctx context.Context, e pipeline.CallEvent) {
	if n := notesOf(ctx); n != nil && e.ID != 0 {
		n.note(e.ID, e.Peer, e.Start, e.Phases)
	}
}

// AfterGet implements pool.GetHook.
func (phasesHook) AfterGet(ctx context.Context, e pool.GetEvent) {
	if n := notesOf(ctx); n != nil && e.Err == nil {
		n.note(e.ID, text(e.Peer), e.Start, conn.Phases{Acquired: max(e.Duration, 1), Dialed: e.Dialed})
	}
}

// text is addr in words, empty if there is none.
func text(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	return addr.String()
}
