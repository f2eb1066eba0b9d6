package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// session is one accepted connection as the server sees it. It is also the
// context its handler is given, because a context of the standard library would
// cost an idle connection more than the session itself.
type session struct {
	srv  *Server
	conn *conn.Conn
	lifetime
	state atomic.Uint32 // State
	raw   atomic.Bool   // its handler reads by itself, see drain

	// Until when a read or a write must have moved on; see watch.
	readDue, writeDue atomic.Int64

	// Guarded by srv.mu.
	parts      int8 // what is left of it: the connection and the goroutine
	peer       *peer
	prev, next *session
}

// serve is the goroutine of the connection. Its frame stays on the stack of every
// idle connection: keep it small.
func (s *session) serve() {
	defer s.handlerDone()
	ctx := s.begin()
	if ctx == nil {
		_ = s.conn.Close()
		return
	}
	s.srv.Handler.ServeConn(ctx, s.conn)
	s.handlerReturned()
}

// begin does what comes before the handler: limits, handshake, hooks. It returns
// the handler's context, or nil if there is nothing to serve.
func (s *session) begin() context.Context {
	s.setState(StateNew)
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
		s.raw.Store(true)
		if s.srv.draining.Load() {
			s.drain()
		}
	}
	return ctx
}

// handshake completes TLS, where the connection has it.
func (s *session) handshake() bool {
	tc, ok := s.conn.NetConn().(*tls.Conn)
	if !ok {
		return true
	}
	timeout := s.srv.HandshakeTimeout
	if timeout == 0 {
		timeout = DefaultHandshakeTimeout
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
	s.srv.logger().Debug("server: TLS handshake failed", "remote", remote(s.conn), "err", err)
	return false
}

// handlerReturned settles the connection of a handler that returned normally.
func (s *session) handlerReturned() {
	if s.srv.KeepOpen {
		s.setState(StateIdle)
		return
	}
	_ = s.conn.Close()
}

// handlerDone ends the goroutine's part of the session, a panic included.
func (s *session) handlerDone() {
	if v := recover(); v != nil {
		s.srv.stats.panics.Add(1)
		logPanic(s.srv.logger(), s.conn, v)
		_ = s.conn.Close()
	}
	s.srv.mu.Lock()
	s.srv.part(s)
	s.srv.mu.Unlock()
}

// logPanic logs a handler's panic. Call it while the panic unwinds.
func logPanic(log *slog.Logger, c *conn.Conn, v any) {
	log.Error("server: panic in a handler, its connection is closed",
		"remote", remote(c), "panic", v, "stack", string(debug.Stack()))
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
	s.end()
	s.srv.mu.Lock()
	s.srv.open--
	s.srv.leavePeer(s)
	s.srv.part(s)
	s.srv.mu.Unlock()
	s.setState(StateClosed)
}

// setState records the state and tells the hook. A closed session stays closed.
func (s *session) setState(state State) {
	for {
		old := s.state.Load()
		if State(old) == StateClosed {
			return
		}
		if s.state.CompareAndSwap(old, uint32(state)) {
			break
		}
	}
	if s.srv.ConnState != nil {
		s.srv.ConnState(s.conn, state)
	}
}

// drain asks the session to end once it has answered what has arrived. Who serves
// frames is woken by a deadline and decides (see FrameHandler); a raw handler
// meets the end of the stream; a handshake goes on and the session drains after.
// The server's draining flag is set before and read again after each change that
// could undo this, so a session in between is not missed.
func (s *session) drain() {
	if !s.raw.Load() {
		_ = s.conn.SetReadDeadline(aLongTimeAgo)
		return
	}
	if half, ok := s.socket().(interface{ CloseRead() error }); ok {
		_ = half.CloseRead()
	}
}

// abort closes the connection without the courtesies that may block: the alert of
// TLS waits for a peer that does not read.
func (s *session) abort() {
	if _, ok := s.conn.NetConn().(*tls.Conn); ok {
		_ = s.socket().Close()
	}
	_ = s.conn.Close()
}

// socket is the connection below any TLS.
func (s *session) socket() net.Conn {
	nc := s.conn.NetConn()
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	return nc
}
