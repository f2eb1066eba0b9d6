package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// Shutdown stops the server without losing a request it has received. It stops
// accepting. Requests that had arrived when Shutdown was called are handled and get
// a reply. Requests that a peer sends later are not handled. So Shutdown takes as
// long as those requests take, even if peers continue to send. It returns nil once
// every connection is closed and every handler has returned. If ctx ends first, it
// closes what is left as Close does, without waiting for the handlers, and returns
// ctx.Err(). If Close is called meanwhile, it returns ErrServerClosed once the
// handlers have returned.
//
// Connections that wait in the kernel's accept queue are served too. For that the
// listener must have a SetDeadline method, as those of package net have, and must
// be open. If another process shares the listener and will accept these
// connections, close the listener before Shutdown. A connection in its TLS
// handshake gets half a second to finish it.
//
// A FrameHandler knows exactly what has arrived over TCP and unix sockets on Linux
// and Windows, and on BSD and macOS up to 64 KiB. Over TLS and other wrappers it
// reads ahead until the peer is silent for 20 ms, 60 ms at most. After the last
// reply it sends FrameHandler.Goodbye, closes its side of the connection, and gives
// the peer half a second to close the other side. If a part of a request has
// arrived, it waits for the rest within ReadTimeout.
//
// Any other handler reads io.EOF after the bytes that have arrived. It must then
// finish its replies and return. On Windows its reads time out after half a second
// instead. If the transport has no CloseRead, the handler gets no io.EOF, and
// Shutdown waits for it until ctx ends. A handler that does not read can wait for
// Draining.
//
// Shutdown may be called more than once, and after Close to wait for handlers.
// Called from a handler it cannot return before its ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	listeners := s.stopLocked()
	wasClosed := s.closed
	first := s.drained == nil
	if first {
		s.drained = make(chan struct{})
		s.settleLocked()
	}
	drained := s.drained
	s.mu.Unlock()

	for _, l := range listeners {
		if first { // a second time would cut short what empties the backlog
			stopAccepting(l)
		}
	}
	for _, sess := range s.sessions() {
		sess.drain()
	}
	select {
	case <-drained:
	default:
		select {
		case <-drained:
		case <-ctx.Done():
			_ = s.Close()
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut && !wasClosed {
		return ErrServerClosed
	}
	return nil
}

// Close closes the listeners and every connection at once, even during a
// request. It returns the first error of closing a listener. It does not wait
// for handlers to return; a Shutdown after it does. A second Close returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	listeners := s.stopLocked()
	s.closed = true
	s.cut = s.cut || s.open > 0
	s.mu.Unlock()

	var first error
	for _, l := range listeners {
		if err := l.Close(); err != nil && first == nil && !errors.Is(err, net.ErrClosed) {
			first = err
		}
	}
	var wg sync.WaitGroup
	for _, sess := range s.sessions() {
		if nc := sleep.NetConn(sess.conn); nc == nil || isSocket(nc) {
			sess.abort()
		} else { // closing one may take its time: TLS says goodbye to a peer that does not read
			wg.Go(sess.abort)
		}
	}
	wg.Wait()
	return first
}

// stopLocked marks the server as stopping and returns its listeners.
func (s *Server) stopLocked() []net.Listener {
	if !s.draining.Swap(true) {
		close(s.stopChanLocked())
		s.wakeWatch()
	}
	all := make([]net.Listener, 0, len(s.listeners))
	for l := range s.listeners {
		all = append(all, *l)
	}
	return all
}

// aLongTimeAgo is a deadline that has passed: it wakes whoever is blocked.
var aLongTimeAgo = time.Unix(1, 0)

// stopAccepting ends a blocked Accept: by a deadline where the listener has one,
// so that the accept loop can still empty the backlog, else by closing it.
func stopAccepting(l net.Listener) {
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		if d.SetDeadline(aLongTimeAgo) == nil {
			return
		}
	}
	_ = l.Close()
}

// Draining returns a channel that is closed when the server of the connection
// begins to shut down. Use it in handlers that send without a request, to know
// when to stop. ctx is a handler's context. For any other context the result is
// nil, and a receive from it blocks for ever.
func Draining(ctx context.Context) <-chan struct{} {
	sess := sessionOf(ctx)
	if sess == nil {
		return nil
	}
	sess.srv.mu.Lock()
	defer sess.srv.mu.Unlock()
	return sess.srv.stopChanLocked()
}
