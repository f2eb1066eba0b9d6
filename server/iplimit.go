package server

import (
	"net"
	"net/netip"
)

// peer counts the open connections of one address or prefix.
type peer struct {
	prefix netip.Prefix
	open   int
}

// admitPeer counts sess under its remote address; false, counted as refused,
// where that would be one too many. It asks for the remote address, which on a
// PROXY protocol listener waits for the peer: not for the accept loop.
func (s *Server) admitPeer(sess *session) bool {
	if s.MaxConnsPerIP <= 0 {
		return true
	}
	prefix, ok := s.prefixOf(sess.conn.RemoteAddr())
	if !ok {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sess.parts < 2 {
		return false // closed meanwhile; counting it now would count it for ever
	}
	p := s.peers[prefix]
	if p == nil {
		if s.peers == nil {
			s.peers = make(map[netip.Prefix]*peer)
		}
		p = &peer{prefix: prefix}
		s.peers[prefix] = p
	}
	if p.open >= s.MaxConnsPerIP {
		s.stats.refusedPerIP.Add(1)
		return false
	}
	p.open++
	sess.peer = p
	return true
}

// leavePeerLocked undoes admitPeer.
func (s *Server) leavePeerLocked(sess *session) {
	p := sess.peer
	if p == nil {
		return
	}
	sess.peer = nil
	if p.open--; p.open == 0 {
		delete(s.peers, p.prefix)
	}
}

// prefixOf is what MaxConnsPerIP counts addr by; false if it has no IP address.
func (s *Server) prefixOf(addr net.Addr) (netip.Prefix, bool) {
	var ip netip.Addr
	switch a := addr.(type) {
	case nil:
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	default:
		if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
			ip = ap.Addr()
		}
	}
	ip = ip.Unmap()
	bits := s.IPv6Prefix
	if ip.Is4() {
		bits = s.IPv4Prefix
	}
	if bits <= 0 {
		bits = ip.BitLen()
	}
	prefix, _ := ip.Prefix(bits) // not valid if there is no address, or it has fewer bits
	return prefix, prefix.IsValid()
}
