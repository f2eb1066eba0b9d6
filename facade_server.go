package gtcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// FreePortAddress makes a server listen on a free port of all interfaces.
const FreePortAddress = ":0"

// Server is a TCP server with the methods of GoFrame's gtcp. Use NewServer to
// make one. Its methods may be called from several goroutines.
//
// The server calls the handler for each connection, on a new goroutine. The
// handler must close the connection, or pass it to another goroutine that does;
// the server does not close it when the handler returns. A connection that is
// not closed stays open until the garbage collector finds that its Conn is
// unreachable. That can take minutes. If a handler panics, the server logs the
// panic with log/slog and closes that connection; nothing else is affected.
type Server struct {
	mu        sync.Mutex // guards the fields below; never held while serving
	address   string
	handler   func(*Conn)
	tlsConfig *tls.Config
	port      int                    // -1 until Run listens
	serving   *server.Server         // of the Run in progress
	served    bool                   // that Run is over
	stopped   bool                   // Close or Shutdown was called
	left      map[*accepted]struct{} // connections whose handlers have returned and that may be open
}

// servers holds the named servers, for GetServer.
var servers = struct {
	sync.Mutex // guards byName; taken before Server.mu
	byName     map[string]*Server
}{byName: map[string]*Server{}}

// GetServer returns the server with the given name. Without a name, or with "",
// the name is "default". If there is none, GetServer makes one without address
// and handler. It compares names as text: GetServer(1) is GetServer("1").
//
// A server runs once. If the server with that name was closed, GetServer returns
// a new one with the same address, handler and TLS configuration.
func GetServer(name ...any) *Server {
	key := "default"
	if len(name) > 0 && name[0] != nil && name[0] != "" {
		key = fmt.Sprint(name[0])
	}
	servers.Lock()
	defer servers.Unlock()
	s := servers.byName[key]
	if s == nil {
		s = newServer("", nil)
	} else {
		s = s.runnable()
	}
	servers.byName[key] = s
	return s
}

// runnable is s, or one like it where s can run no more.
func (s *Server) runnable() *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && !s.served {
		return s
	}
	next := newServer(s.address, s.handler)
	next.tlsConfig = s.tlsConfig
	return next
}

// NewServer makes a server that listens on address and calls handler for each
// connection. GetServer finds a server by its name. A new server replaces an
// earlier one with the same name.
func NewServer(address string, handler func(*Conn), name ...string) *Server {
	s := newServer(address, handler)
	if len(name) > 0 && name[0] != "" {
		servers.Lock()
		defer servers.Unlock()
		servers.byName[name[0]] = s
	}
	return s
}

func newServer(address string, handler func(*Conn)) *Server {
	return &Server{address: address, handler: handler, port: -1}
}

// NewServerTLS is NewServer with TLS. A nil config means plain TCP.
func NewServerTLS(address string, config *tls.Config, handler func(*Conn), name ...string) *Server {
	s := NewServer(address, handler, name...)
	s.SetTLSConfig(config)
	return s
}

// NewServerKeyCrt is NewServerTLS with a certificate and a key from files; see
// LoadKeyCrt. If it fails, the name is not changed.
func NewServerKeyCrt(address, crtFile, keyFile string, handler func(*Conn), name ...string) (*Server, error) {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return nil, err
	}
	return NewServerTLS(address, config, handler, name...), nil
}

// SetAddress sets the address that Run listens on. It does not move a server
// that is running.
func (s *Server) SetAddress(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = address
}

// GetAddress returns the address that was set.
func (s *Server) GetAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// SetHandler sets the handler of connections accepted from now on.
func (s *Server) SetHandler(handler func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// SetTLSKeyCrt sets the certificate and the key that Run uses.
func (s *Server) SetTLSKeyCrt(crtFile, keyFile string) error {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return err
	}
	s.SetTLSConfig(config)
	return nil
}

// SetTLSConfig sets the TLS configuration that Run uses. Nil means plain TCP.
func (s *Server) SetTLSConfig(config *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tlsConfig = config
}

var (
	errNoHandler = errors.New("start running failed: socket handler not defined")
	errRunning   = errors.New("start running failed: the server is running")
	errServed    = errors.New("start running failed: the server has served; make a new one, or ask GetServer for one")
)

// Run listens and serves until Close or Shutdown is called. Then it returns
// net.ErrClosed; check with errors.Is. It fails if there is no handler, if the
// server is running, or if it cannot listen. A server runs once: after Close,
// make a new one, or ask GetServer for the server of the same name.
func (s *Server) Run() error {
	serving, address, err := s.begin()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.abandon(serving)
		return describe(err, "net.ListenTCP failed for address %q", address)
	}
	s.mu.Lock()
	s.port = l.Addr().(*net.TCPAddr).Port
	s.mu.Unlock()
	err = serving.Serve(l)
	s.mu.Lock()
	s.served = true
	s.mu.Unlock()
	return describe(err, "Listener.Accept failed")
}

// begin takes the server for one Run.
func (s *Server) begin() (*server.Server, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.handler == nil:
		return nil, "", fmt.Errorf("%w for address %q", errNoHandler, s.address)
	case s.stopped:
		return nil, "", describe(server.ErrServerClosed, "start running failed")
	case s.served:
		return nil, "", errServed
	case s.serving != nil:
		return nil, "", errRunning
	}
	serving := s.newServing()
	if err := serving.Validate(); err != nil {
		return nil, "", describe(err, "start running failed for address %q", s.address)
	}
	s.serving = serving
	return serving, s.address, nil
}

// abandon undoes begin for a Run that could not listen.
func (s *Server) abandon(serving *server.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == serving && !s.stopped {
		s.serving = nil
	}
}

// newServing makes the server below; mu is held.
func (s *Server) newServing() *server.Server {
	return &server.Server{
		KeepOpen:    true,
		TLSConfig:   s.tlsConfig,
		UserTimeout: -1, // a peer may pause for as long as it likes, as upstream
		Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
			s.mu.Lock()
			handler := s.handler
			s.mu.Unlock()
			if handler == nil {
				_ = c.Close()
				return
			}
			s.serveConn(handler, c)
		}),
	}
}

// stop notes that no Run may come any more and returns the server below.
func (s *Server) stop() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.serving == nil {
		s.serving = s.newServing()
	}
	return s.serving
}

// Close stops listening and closes all connections that the server has accepted,
// also those that handlers have passed on. It does not wait for handlers; Shutdown
// does. If Close is called before Run, Run fails. A second Close does nothing.
func (s *Server) Close() error { return s.stop().Close() }

// GetListenedAddress returns the server's address. If its port is 0, the port
// that the server listens on replaces it.
func (s *Server) GetListenedAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if host, found := strings.CutSuffix(s.address, FreePortAddress); found && s.port >= 0 {
		return host + ":" + strconv.Itoa(s.port)
	}
	return s.address
}

// GetListenedPort returns the port that the server listens on, also after Close.
// Before Run it is -1.
func (s *Server) GetListenedPort() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}
