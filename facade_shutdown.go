package gtcp

import (
	"context"
	"fmt"
	"iter"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// accepted is a connection that a handler was given. It does not refer to the
// handler's Conn, so that the garbage collector can tell when nobody does.
type accepted struct {
	server *Server
	conn   *conn.Conn
	socket atomic.Bool // NetConn was called, so the socket may be in use without the Conn
}

// serveConn runs handler on c. If the handler leaves the connection open, it
// stays so for as long as something refers to the handler's Conn.
func (s *Server) serveConn(handler func(*Conn), c *conn.Conn) {
	a := &accepted{server: s, conn: c}
	handle := newConn(c)
	handle.inner.accepted = a
	handler(handle)
	if c.NetConn() == nil {
		return // closed
	}
	s.mu.Lock()
	if s.left == nil {
		s.left = map[*accepted]struct{}{}
	}
	s.left[a] = struct{}{}
	s.mu.Unlock()
	runtime.AddCleanup(handle, (*accepted).unreferenced, a)
}

// unreferenced closes a connection that was left open and that nobody can close
// any more.
func (a *accepted) unreferenced() {
	if a.socket.Load() && a.conn.NetConn() != nil {
		return // Shutdown reports it
	}
	a.server.mu.Lock()
	delete(a.server.left, a)
	a.server.mu.Unlock()
	// Over TLS a close can take seconds, and cleanups must be short. Shutdown
	// waits for the connection's end.
	go a.conn.Close()
}

// Shutdown stops listening and lets handlers finish: they read the bytes that
// have arrived, and then io.EOF. It returns nil when all connections are closed.
// If ctx ends first, Shutdown closes the remaining connections and returns ctx's
// error. The text of the error says how many connections were open. It names the
// peers of those whose handlers had returned without closing them.
//
// Shutdown also closes such connections if nothing refers to their Conn any
// more. It runs the garbage collector to find them.
func (s *Server) Shutdown(ctx context.Context) error {
	serving := s.stop()
	var open string
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		open = s.describeOpen(serving)
		close(ended)
	})
	collecting := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		s.collect(collecting)
	}()
	err := serving.Shutdown(&laterContext{ctx, ended})
	close(collecting)
	<-collected
	if stop() {
		return err // ctx has not ended
	}
	<-ended
	if err != nil && open != "" {
		return &contextError{text: "shutdown: " + open, err: err}
	}
	return err
}

// laterContext is a context that ends when something has been done after the
// end of the one it wraps.
type laterContext struct {
	context.Context
	ended chan struct{}
}

func (c *laterContext) Done() <-chan struct{} { return c.ended }

func (c *laterContext) Err() error {
	select {
	case <-c.ended:
		return c.Context.Err()
	default:
		return nil
	}
}

// collect runs the garbage collector now and then until done is closed, as long
// as there are connections that it could find.
func (s *Server) collect(done <-chan struct{}) {
	const first, longest = 20 * time.Millisecond, 2 * time.Second
	pause := first
	for {
		s.mu.Lock()
		left := len(s.left)
		s.mu.Unlock()
		if left > 0 {
			runtime.GC()
			pause = min(2*pause, longest)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return
		}
	}
}

// describeOpen says which connections are open, if any are.
func (s *Server) describeOpen(serving *server.Server) string {
	const most = 5
	open := serving.Stat().Open
	if open == 0 {
		return ""
	}
	var peers []string
	s.mu.Lock()
	for a := range s.left {
		if a.conn.NetConn() != nil {
			peers = append(peers, addrText(a.conn.RemoteAddr()))
		}
	}
	s.mu.Unlock()
	text := fmt.Sprintf("open connections: %d", open)
	if left := len(peers); left > 0 {
		more := ""
		if left > most {
			peers, more = peers[:most], ", …"
		}
		text += fmt.Sprintf("; left open by handlers that have returned: %d (%s%s)", left, strings.Join(peers, ", "), more)
	}
	return text
}

func addrText(a net.Addr) string {
	if a == nil {
		return "unknown"
	}
	return a.String()
}

// Stat returns the figures of the server's connections. Before Run they are
// zero.
func (s *Server) Stat() server.Stat {
	s.mu.Lock()
	serving := s.serving
	s.mu.Unlock()
	if serving == nil {
		return server.Stat{}
	}
	return serving.Stat()
}

// Conns returns the open connections of the server, in the order of their numbers.
// Before Run there are none.
func (s *Server) Conns() iter.Seq[server.ConnStat] {
	s.mu.Lock()
	serving := s.serving
	s.mu.Unlock()
	if serving == nil {
		return func(func(server.ConnStat) bool) {}
	}
	return serving.Conns()
}
