package server

import (
	"errors"
	"net"
	"syscall"
)

// errGone is the error of a request whose peer has gone before it was begun.
var errGone = errors.New("server: peer has gone")

// lookAtPeer ends the context of the requests in progress if their peer has gone.
// It consumes nothing, so it may look while a request is read, or handled from the
// read buffer.
func (s *session) lookAtPeer() {
	if raw := rawOf(s.socket()); raw != nil {
		s.peerGone(peerOf(raw))
	}
}

// rawOf is the socket of a connection or a listener, nil if it has none.
func rawOf(of any) syscall.RawConn {
	sc, ok := of.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// peerGone acts on what is known of the peer. After a reset nobody will read a
// reply, so requests that have not begun are dropped. After the end of its stream
// the peer may still read: a half-close. They are handled, with a context that has
// ended, unless FrameHandler.HalfClose says otherwise.
func (s *session) peerGone(ended, reset bool) {
	if reset {
		s.dropRequests.Store(true)
	}
	h := s.frames.Load()
	if reset || ended && !h.HalfClose {
		s.end()
	}
}

// socketOf is the transport below TLS.
func socketOf(nc net.Conn) net.Conn {
	for range 8 { // deeper than any sane stack of wrappers
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below := inner.NetConn()
		if below == nil {
			break
		}
		nc = below
	}
	return nc
}
