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
	mu    sync.Mutex // guards all below; not held while after's functions run
	over  bool
	done  chan struct{}
	after map[*func()]struct{}
}

// end ends the context. Once is enough; more is harmless.
func (l *lifetime) end() {
	l.mu.Lock()
	l.over = true
	after := l.after
	l.after = nil
	if l.done != nil {
		select {
		case <-l.done:
		default:
			close(l.done)
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
	if l.done == nil {
		l.done = make(chan struct{})
		if l.over {
			close(l.done)
		}
	}
	return l.done
}

// Err is part of context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return context.Canceled
	}
	return nil
}

// AfterFunc calls f when the context ends, unless stop is called before. Package
// context looks for this method and gives it functions that do not block.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		go f() // not here: context holds a lock that f takes
		return func() bool { return false }
	}
	if l.after == nil {
		l.after = make(map[*func()]struct{})
	}
	key := &f
	l.after[key] = struct{}{}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, waiting := l.after[key]
		delete(l.after, key)
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
