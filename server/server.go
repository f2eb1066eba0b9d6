package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// What zero timeouts of a Server mean.
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultUserTimeout      = 30 * time.Second
)

// ErrServerClosed is returned by Serve and ListenAndServe once Shutdown or
// Close has been called, and by a Shutdown that a Close cut short. It is
// net.ErrClosed to errors.Is.
var ErrServerClosed = fmt.Errorf("server: closed: %w", net.ErrClosed)

// Handler serves accepted connections.
type Handler interface {
	// ServeConn serves one connection, on a goroutine of its own. ctx ends when
	// the connection or the server is closed on this side. When ServeConn
	// returns, the server closes its side of the connection. It waits up to
	// half a second until the peer closes the other side, so that no reply is
	// lost. Then it closes the connection. Server.KeepOpen changes that. A
	// panic in ServeConn is logged with its stack and the peer's address, and
	// ends only this connection.
	ServeConn(ctx context.Context, c *conn.Conn)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, c *conn.Conn)

// ServeConn calls f(ctx, c).
func (f HandlerFunc) ServeConn(ctx context.Context, c *conn.Conn) { f(ctx, c) }

// Server accepts connections on any number of listeners and runs Handler for
// each connection. Handler is the only field that must be set. Fields must not change once
// Serve has been called, and a Server must not be copied. All methods may be
// called from several goroutines at once.
type Server struct {
	// Handler serves each connection. Required.
	Handler Handler

	// KeepOpen leaves a connection open when its handler returns, for handlers
	// that give their connection to another goroutine. The server tracks the
	// connection until it is closed, so Shutdown and Close still close it. They
	// do not close it after a conn.Conn.Handoff. If a handler panics, its
	// connection is closed even with KeepOpen.
	KeepOpen bool

	// TLSConfig, if not nil, puts TLS on every connection of every listener. It
	// needs a certificate. The handshake runs on the connection's goroutine,
	// never on the accept loop. A failed handshake is counted, and logged as a
	// warning. There is at most one such line a second, with the number of
	// further failures. If a peer connects and closes without a handshake, that
	// is logged at debug level. To serve TLS on one listener and plain text on
	// another, leave this nil and wrap the first listener with tls.NewListener.
	TLSConfig *tls.Config

	// HandshakeTimeout bounds a TLS handshake. Zero means 10 seconds, negative
	// no bound.
	HandshakeTimeout time.Duration

	// UserTimeout is how long written data may stay unacknowledged before the
	// system closes a TCP connection. It detects a peer that is no longer
	// reachable; the default of the system takes about 15 minutes. Zero means 30
	// seconds. Negative means the default of the system. It has an effect on
	// Linux only.
	UserTimeout time.Duration

	// MaxConns bounds the open connections of all listeners together, those
	// in their handshake included. A connection above it is closed as soon as it
	// is accepted, and counted. Zero or negative means no bound.
	MaxConns int

	// MaxConnsPerIP bounds the open connections of one remote IP address, or
	// of one prefix (see IPv4Prefix and IPv6Prefix). An IPv4 address mapped
	// into IPv6 counts as IPv4; a peer without an IP address (a unix socket)
	// is not counted. Zero or negative means no bound.
	MaxConnsPerIP int

	// IPv4Prefix and IPv6Prefix are the number of leading bits of an address
	// that MaxConnsPerIP uses. All addresses with the same prefix count as one
	// client. 24 means an IPv4 /24 network, 64 an IPv6 /64 network. Zero or
	// negative means the whole address.
	IPv4Prefix, IPv6Prefix int

	// ConnContext, if not nil, derives the context a handler is given from the
	// connection's own, for example to add values. It runs on the
	// connection's goroutine, after any handshake. Returning nil refuses the
	// connection.
	ConnContext func(ctx context.Context, c *conn.Conn) context.Context

	// ConnState, if not nil, is called when a connection changes its state. For
	// one connection StateNew is the first call and StateClosed the last, and
	// one call returns before the next begins. It runs on a goroutine of the
	// connection, or on the goroutine that called Close. That goroutine waits
	// for it; the timeouts of other connections do not. A panic in it is logged
	// and ends only this connection.
	ConnState func(c *conn.Conn, state State)

	// Hooks observe requests, errors of accept and panics. Each element
	// implements one or more of RequestStartHook, RequestHook, AcceptErrorHook
	// and PanicHook. They are called in the order of the slice. If a hook
	// panics, the panic is logged and the connection is closed. Without hooks,
	// no times are measured.
	Hooks []any

	// Logger takes the server's log. Nil means slog.Default.
	Logger *slog.Logger

	draining atomic.Bool // set once by Shutdown or Close, under mu
	clock    watchClock

	mu        sync.Mutex // guards the fields below; never held across I/O or a hook
	closed    bool       // Close was called, or a Shutdown's ctx ended
	listeners map[*net.Listener]struct{}
	first     *session // every session whose connection is open or whose handler runs
	live      int      // length of that list
	open      int      // open connections, what MaxConns bounds
	made      uint64   // connections tracked so far
	cut       bool     // Close found open connections
	peers     map[netip.Prefix]*peer
	stopping  chan struct{} // made on demand, closed when draining begins
	drained   chan struct{} // made by Shutdown, closed when nothing is left
	poller    *poller       // waits for parked connections; made for the first one
	wake      chan struct{} // wakes the watch; set once
	requests  uint64        // frames handled on the connections that are over
	stats     counters

	summary summary

	sorting sync.Once // makes hooks
	hooks   hooks
}

// Validate returns an error that names the first invalid field, or nil.
func (s *Server) Validate() error {
	switch {
	case s.Handler == nil:
		return errors.New("server: Handler is nil")
	case s.IPv4Prefix > 32:
		return fmt.Errorf("server: IPv4Prefix is %d, more than 32 bits", s.IPv4Prefix)
	case s.IPv6Prefix > 128:
		return fmt.Errorf("server: IPv6Prefix is %d, more than 128 bits", s.IPv6Prefix)
	case s.TLSConfig != nil && len(s.TLSConfig.Certificates) == 0 &&
		s.TLSConfig.GetCertificate == nil && s.TLSConfig.GetConfigForClient == nil:
		return errors.New("server: TLSConfig has no certificate")
	}
	for i, h := range s.Hooks {
		if !isHook(h) {
			return fmt.Errorf("server: Hooks[%d] is a %T, which implements no hook", i, h)
		}
	}
	if v, ok := s.Handler.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// ListenAndServe listens on address and serves it. The network is one of "tcp",
// "tcp4", "tcp6" and "unix". It returns as Serve does; an error to listen names
// the address. If you use port 0 and need the port number, call net.Listen and
// then Serve.
func (s *Server) ListenAndServe(network, address string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.draining.Load() {
		return ErrServerClosed
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return s.Serve(l)
}

// Serve accepts connections on l until Shutdown or Close, and then returns
// ErrServerClosed. It does not wait for the connections; Shutdown does. So do not
// end the program when Serve returns: wait until Shutdown has returned. Temporary
// errors are logged and retried with backoff, 5 ms at first and 1 s at most.
// Examples are no free file descriptor, and a peer that closed before it was
// accepted. Any other error means that l cannot accept any more, and is returned.
// Serve has closed l when it returns. It may be called for several listeners at
// once.
//
// If other code closes the listener, Serve returns an error that is
// net.ErrClosed, and the connections stay open.
func (s *Server) Serve(l net.Listener) error {
	if err := s.Validate(); err != nil {
		_ = l.Close()
		return err
	}
	if !s.trackListener(&l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrackListener(&l) // not before l is closed: Shutdown waits for it
	defer l.Close()
	return s.accept(l)
}

// start admits an accepted connection and serves it on a new goroutine.
func (s *Server) start(nc net.Conn, plain bool) {
	s.stats.accepted.Add(1)
	if d := orDefault(s.UserTimeout, defaultUserTimeout); d > 0 {
		_ = conn.SetUserTimeout(nc, d) // the connection may have ended already
	}
	if s.TLSConfig != nil {
		nc = tls.Server(nc, s.TLSConfig)
	}
	sess := &session{srv: s, conn: conn.New(nc), accepted: time.Now().UnixNano(), plain: plain}
	if s.ConnState != nil {
		sess.changes = new(changes)
	}
	sess.conn.OnClose(sess.connClosed)
	if !s.track(sess) {
		_ = nc.Close()
		return
	}
	go sess.serve()
}

// logger is where the server logs.
func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}
