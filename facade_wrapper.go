package gtcp

import (
	"net"
	"reflect"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// wrapper is a connection that a program has put into Conn.Conn, and the stream
// on it.
type wrapper struct {
	outside net.Conn
	stream  innerConn
}

// under returns the stream on nc, which stands in the place of s and, most
// likely, wraps it. There is one for each nc in turn, for it has a buffer.
func (s *innerConn) under(nc net.Conn) *innerConn {
	if w := s.wrapped.Load(); w != nil && sameConn(w.outside, nc) {
		return &w.stream
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wrapped.Load(); w != nil && sameConn(w.outside, nc) {
		return &w.stream
	}
	w := &wrapper{outside: nc}
	w.stream.init(conn.New(nc))
	w.stream.wait = s.wait
	if s.bounds != nil {
		w.stream.bounds = &bounds{recv: bound{own: s.bounds.recv.own}, send: bound{own: s.bounds.send.own}}
	}
	if s.checkout != nil {
		s.checkout.failed.Store(true) // what the wrapper holds back is not the pool's to know
	}
	s.wrapped.Store(w)
	return &w.stream
}

// sameConn says whether a is b. Of a type that cannot be compared, one value is
// as good as another.
func sameConn(a, b net.Conn) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	return !reflect.ValueOf(a).Comparable() || a == b
}
