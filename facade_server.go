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

// FreePortAddress makes a server listen on a free port, on all interfaces.
const FreePortAddress = ":0"

// Server is a TCP server. It is made by NewServer, and its methods may be
// called from several goroutines.
//
// Each connection is given to the handler on a goroutine of its own. The
// handler closes it, or hands it to another goroutine that does: that the
// handler returns does not close it. One that is never closed stays open until
// the garbage collector finds that nothing refers to its Conn any more, and is
// closed then; with a peer that has gone that can take minutes, so close it. A
// handler that panics loses its connection, with the panic logged by log/slog,
// and nobody else notices.
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

// GetServer returns the server of a name, "default" where none or "" is given,
// and makes one without address and handler if there is none yet. Names are
// compared as text: GetServer(1) is GetServer("1").
//
// A server runs once. In the place of one that was closed, or whose Run is
// over, GetServer returns a new one with the same address, handler and TLS
// configuration, which can be run.
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

// NewServer makes a server that will listen on address and serve each
// connection with handler. A server with a name is found by GetServer, in
// place of an earlier one of that name.
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

// NewServerTLS is NewServer with TLS. A nil configuration means plain TCP.
func NewServerTLS(address string, config *tls.Config, handler func(*Conn), name ...string) *Server {
	s := NewServer(address, handler, name...)
	s.SetTLSConfig(config)
	return s
}

// NewServerKeyCrt is NewServerTLS with a certificate and a key from files; see
// LoadKeyCrt. A server that cannot be made does not take the name.
func NewServerKeyCrt(address, crtFile, keyFile string, handler func(*Conn), name ...string) (*Server, error) {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return nil, err
	}
	return NewServerTLS(address, config, handler, name...), nil
}

// SetAddress sets the address that Run will listen on. A server that listens
// already is not moved.
func (s *Server) SetAddress(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = address
}

// GetAddress returns the address as it was set.
func (s *Server) GetAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// SetHandler sets the handler of the connections accepted from now on.
func (s *Server) SetHandler(handler func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// SetTLSKeyCrt sets the certificate and key that Run will serve with.
func (s *Server) SetTLSKeyCrt(crtFile, keyFile string) error {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return err
	}
	s.SetTLSConfig(config)
	return nil
}

// SetTLSConfig sets the TLS configuration that Run will serve with; nil means
// plain TCP.
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

// Run listens and serves until Close or Shutdown, and then returns an error
// that is net.ErrClosed; so does a Run that comes after either. It fails
// without a handler, while the server is running, and where it cannot listen,
// with the address in the error. A server serves once: to serve again, make a
// new one, or ask GetServer for the one of the same name.
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
		KeepOpen:  true,
		TLSConfig: s.tlsConfig,
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

// Close stops listening and closes every connection the server has accepted,
// whatever goroutine it was handed to. It does not wait for handlers to
// return. Closing before Run is remembered; closing twice is no error.
func (s *Server) Close() error { return s.stop().Close() }

// GetListenedAddress returns the server's address, with the port it listens on
// in the place of port 0.
func (s *Server) GetListenedAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if host, found := strings.CutSuffix(s.address, FreePortAddress); found && s.port >= 0 {
		return host + ":" + strconv.Itoa(s.port)
	}
	return s.address
}

// GetListenedPort returns the port the server listens on, or listened on
// before it was closed; -1 before Run has it.
func (s *Server) GetListenedPort() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}
