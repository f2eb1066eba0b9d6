package server

import (
	"context"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// lifetime is the context.Context of a session. It makes a channel only for who
// asks for one, and has the AfterFunc method by which package context hangs a
// derived context on it without a goroutine.
type lifetime struct {
	mu    sync.Mutex // guards heirs and what is in it; not held while after's functions run
	heirs *heirs     // made for the first who asks; ended if the lifetime ends before
}

// heirs are who wants to know of the end of a lifetime.
type heirs struct {
	over  bool
	done  chan struct{} // nil if nobody has asked for it
	after map[*func()]struct{}
}

// ended are those of a lifetime that nobody has asked before its end.
var ended = func() *heirs {
	h := &heirs{over: true, done: make(chan struct{})}
	close(h.done)
	return h
}()

// heirsLocked returns the heirs, which it makes if there are none.
func (l *lifetime) heirsLocked() *heirs {
	if l.heirs == nil {
		l.heirs = new(heirs)
	}
	return l.heirs
}

// end ends the context. Once is enough; more is harmless.
func (l *lifetime) end() {
	var after map[*func()]struct{}
	l.mu.Lock()
	if h := l.heirs; h == nil {
		l.heirs = ended
	} else if !h.over {
		h.over = true
		after, h.after = h.after, nil
		if h.done != nil {
			close(h.done)
		}
	}
	l.mu.Unlock()
	for f := range after {
		(*f)()
	}
}

// Deadline is part of context.Context: there is none.
func (l *lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is part of context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.heirsLocked()
	if h.done == nil {
		h.done = make(chan struct{})
		if h.over {
			close(h.done)
		}
	}
	return h.done
}

// Err is part of context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heirs != nil && l.heirs.over {
		return context.Canceled
	}
	return nil
}

// AfterFunc calls f when the context ends, unless stop is called before. Package
// context looks for this method and gives it functions that do not block.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heirs != nil && l.heirs.over {
		go f() // not here: context holds a lock that f takes
		return func() bool { return false }
	}
	h := l.heirsLocked()
	if h.after == nil {
		h.after = make(map[*func()]struct{})
	}
	key := &f
	h.after[key] = struct{}{}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, waiting := h.after[key]
		delete(h.after, key)
		return waiting
	}
}

// sessionKey is the key under which a session's context holds the session.
type sessionKey struct{}

// Value is part of context.Context.
func (s *session) Value(key any) any {
	if _, ok := key.(sessionKey); ok {
		return s
	}
	return nil
}

// sessionOf returns the session a handler's context belongs to, or nil.
func sessionOf(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

// ConnFromContext returns the connection that ctx, a handler's context, belongs to, or nil
// for any other context. A frame handler asks it for addresses and TLS state; it
// must neither read nor write. It may call Close of that connection, but not of what
// its NetConn returns: that would wait for the handler.
func ConnFromContext(ctx context.Context) *conn.Conn {
	if s := sessionOf(ctx); s != nil {
		return s.conn
	}
	return nil
}
