package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// session is one accepted connection as the server sees it. It is also the
// context its handler is given, because a context of the standard library would
// cost an idle connection more than the session itself.
type session struct {
	srv  *Server
	conn *conn.Conn
	lifetime
	changes *changes // nil without a ConnState hook

	id       uint64 // counts the server's connections from 1; never changes
	accepted int64  // Unix time in nanoseconds; never changes

	state        atomic.Uint32                // State
	dropRequests atomic.Bool                  // nobody will read a reply: begin no more requests
	frames       atomic.Pointer[FrameHandler] // its handler, nil for one of another kind
	requests     atomic.Uint64                // frames handled; the server's figures get them at the end
	extra        atomic.Pointer[extra]        // made when first needed

	parking   atomic.Uint32 // see park.go
	depth     atomic.Uint32 // see sleep.go
	settling  atomic.Int32  // goroutines that are about to park it: it must not sleep
	fd        int32         // of its socket, if the poller knows it; guarded by poller.mu
	idleSince atomic.Int64  // on the watch's clock

	// Until when a read or a write must have moved on; see watch.
	readDue, writeDue atomic.Int64

	drainMu sync.Mutex // guards point and phase, and keeps what drain does to one phase out of the next
	point   int64      // where in the peer's stream a drain ends, plus 1; 0 if not noted
	phase   phase

	kept  bool // the handler has returned and KeepOpen is set; its goroutine's
	own   bool // a goroutine of the server's serves frames; set before they are
	plain bool // the listener has nothing around its connections; never changes

	// Guarded by srv.mu.
	parts      int8 // what is left of it: the connection and the goroutine
	peer       *peer
	prev, next *session
}

// serve is the goroutine of the connection. Its frame stays on the stack of every
// idle connection: keep it small.
func (s *session) serve() {
	gone := false
	defer s.handlerDone(&gone)
	ctx := s.begin()
	if ctx == nil {
		return
	}
	if h, ok := s.srv.Handler.(*FrameHandler); ok {
		s.own = true
		if gone = h.serveSession(ctx, s, false); gone { // less deep than ServeConn
			return
		}
	} else {
		s.srv.Handler.ServeConn(ctx, s.conn)
	}
	s.handlerReturned()
}

// begin does what comes before the handler: limits, handshake, hooks. It returns
// the handler's context, or nil if there is nothing to serve.
func (s *session) begin() context.Context {
	s.setState(StateNew)
	if s.conn.Err() != nil {
		return nil // the hook has closed it, or panicked
	}
	if s.srv.draining.Load() {
		s.drain()
	}
	if !s.srv.admitPeer(s) || !s.handshake() {
		return nil
	}
	var ctx context.Context = s
	if s.srv.ConnContext != nil {
		if ctx = s.srv.ConnContext(ctx, s.conn); ctx == nil {
			return nil
		}
	}
	if _, ok := s.srv.Handler.(*FrameHandler); !ok {
		s.setState(StateActive)
		s.enter(inHandler)
	}
	return ctx
}

// handshake completes TLS, where the connection has it.
func (s *session) handshake() bool {
	tc, ok := sleep.NetConn(s.conn).(*tls.Conn)
	if !ok {
		return true
	}
	timeout := s.srv.HandshakeTimeout
	if timeout == 0 {
		timeout = defaultHandshakeTimeout
	}
	var ctx context.Context = s
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(s, timeout)
		defer cancel()
	}
	err := tc.HandshakeContext(ctx)
	if err == nil {
		return true
	}
	s.srv.stats.handshakeFailures.Add(1)
	level, message := slog.LevelWarn, "server: TLS handshake failed"
	if errors.Is(err, io.EOF) || s.srv.draining.Load() {
		// A port check, a client that gave up, or the end of the server.
		level, message = slog.LevelDebug, "server: connection ended in its TLS handshake"
	}
	details := []any{"remote", remote(s.conn), "err", err}
	if stranger := (tls.RecordHeaderError{}); errors.As(err, &stranger) {
		details = append(details, "hint", "does the client speak TLS?")
	}
	s.srv.sum(level, message, details...)
	return false
}

// handlerReturned is called when a handler returned normally.
func (s *session) handlerReturned() {
	if s.srv.KeepOpen {
		s.kept = true
		s.setState(StateIdle)
	}
}

// handlerDone ends the goroutine's part of the session, a panic or runtime.Goexit
// included, unless the session was parked.
func (s *session) handlerDone(gone *bool) {
	if *gone {
		return // another goroutine may serve it by now
	}
	if v := recover(); v != nil {
		s.srv.panicked(s, v)
	}
	if !s.kept {
		s.closeGently()
	}
	s.tell() // what a panic of the hook left
	s.srv.mu.Lock()
	s.srv.partLocked(s)
	s.srv.mu.Unlock()
}

// panicked counts and logs a panic of a handler or a hook. Call it while the panic
// unwinds.
func (s *Server) panicked(sess *session, v any) {
	s.stats.panics.Add(1)
	stack := debug.Stack()
	s.logger().Error("server: panic in a handler, its connection is closed",
		"remote", remote(sess.conn), "panic", v, "stack", string(stack))
	for _, h := range s.sortHooks().panics {
		func() {
			defer func() { _ = recover() }() // it is about a panic already
			h.AfterPanic(sess.id, v, stack)
		}()
	}
}

// remote names the peer in the log.
func remote(c *conn.Conn) string {
	if addr := c.RemoteAddr(); addr != nil {
		return addr.String()
	}
	return ""
}

// connClosed is the connection's OnClose hook.
func (s *session) connClosed() {
	s.dropRequests.Store(true)
	s.end()
	s.unpark()
	s.srv.mu.Lock()
	if s.srv.poller != nil {
		s.srv.poller.forget(s)
	}
	s.srv.open--
	s.srv.leavePeerLocked(s)
	s.srv.partLocked(s)
	s.srv.mu.Unlock()
	s.setState(StateClosed)
}

// phase says how a session is asked to end.
type phase uint8

const (
	beginning phase = iota // before the handler
	inFrames               // a FrameHandler serves it
	inHandler              // any other handler does
)

// beginTime is how long a draining server waits for what comes before the handler,
// a handshake above all: a client may have sent a request right behind it.
const beginTime = 500 * time.Millisecond

// enter begins a phase.
func (s *session) enter(p phase) {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	s.phase = p
	if s.srv.draining.Load() {
		_ = s.conn.SetReadDeadline(time.Time{}) // the phase before may have had one
		s.askLocked()
	}
}

// drain asks the session to end once it has handled what has arrived. The server's
// draining flag is set before and read again when a phase begins, so a session in
// between is not missed.
func (s *session) drain() {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	s.askLocked()
}

// askLocked does the work of drain. A reader of frames is woken by a deadline and
// decides (see drain.go); any other handler meets the end of the stream.
func (s *session) askLocked() {
	switch s.phase {
	case beginning:
		_ = s.conn.SetReadDeadline(time.Now().Add(beginTime))
	case inFrames:
		if s.depth.Load() == asleep && s.unpark() {
			break // it notes the point itself
		}
		s.notePointLocked(false)
		_ = s.conn.SetReadDeadline(aLongTimeAgo)
		s.unpark()
	case inHandler:
		if runtime.GOOS == "windows" { // CloseRead would lose what is unread, reset the connection, and wake nobody
			_ = s.conn.SetReadDeadline(time.Now().Add(lingerTime))
		} else if half, ok := s.socket().(interface{ CloseRead() error }); ok {
			_ = half.CloseRead()
		}
	}
}

// abort closes the connection without the courtesies that may block: the alert of
// TLS waits for a peer that does not read.
func (s *session) abort() {
	if nc := sleep.NetConn(s.conn); nc != nil {
		if below := socketOf(nc); below != nc {
			_ = below.Close()
		}
	}
	_ = s.conn.Close()
}

// socket is the transport below TLS; nil if the connection sleeps or is closed.
func (s *session) socket() net.Conn {
	return socketOf(sleep.NetConn(s.conn))
}
