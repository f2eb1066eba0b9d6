package etcdresolve

import (
	"context"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Server keeps a server registered for as long as it serves. Set its fields,
// call Serve in place of the server's own, and Shutdown in place of the server's
// own.
type Server struct {
	// Server is the server, a *server.Server for example.
	Server interface {
		Serve(l net.Listener) error
		Shutdown(ctx context.Context) error
	}
	// Client is the connection to etcd.
	Client *clientv3.Client
	// Prefix is the service's prefix, as in Resolver.Prefix.
	Prefix string
	// Endpoint is what is registered. An empty Addr means the address of the
	// listener; set it where clients reach the server by another one, or where
	// the listener is bound to all addresses.
	Endpoint resolve.Endpoint
	// TTL is how long the registration outlives a process that dies. Zero
	// means 10 seconds.
	TTL time.Duration

	mu           sync.Mutex // guards registration
	registration *Registration
}

// Serve registers and serves. It returns when the server does; then the server
// is no longer registered.
func (s *Server) Serve(l net.Listener) error {
	e := s.Endpoint
	if e.Addr == "" {
		e.Network, e.Addr = l.Addr().Network(), l.Addr().String()
	}
	r, err := Register(s.Client, s.Prefix, e, s.TTL)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.registration = r
	s.mu.Unlock()
	err = s.Server.Serve(l)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.deregister(ctx)
	return err
}

// Shutdown deregisters first, so that clients send no new calls, and then shuts
// the server down. It waits for etcd for at most one second.
func (s *Server) Shutdown(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s.deregister(short)
	return s.Server.Shutdown(ctx)
}

// deregister ends the registration if there is one.
func (s *Server) deregister(ctx context.Context) {
	s.mu.Lock()
	r := s.registration
	s.mu.Unlock()
	if r != nil {
		_ = r.Deregister(ctx) // the key vanishes by itself within TTL
	}
}
