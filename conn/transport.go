package conn

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unique"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// transport is the net.Conn of a connection and what reading it needs. A sleeping
// connection has none: see sleep.go.
type transport struct {
	nc         net.Conn
	raw        syscall.RawConn       // of nc, or of what nc wraps; nil if there is none
	onReadable func(fd uintptr) bool // nil: reads go through nc
	before     *sleeper              // has the peer's address where nc does not know it

	// Guarded by core.rmu.
	got      int // what onReadable brought; negative: nothing yet
	gotErrno syscall.Errno
	checker  *checker // made by the first Check
}

// tr is the transport. It stays the same as long as one of the three locks is held,
// or a mark is set, and once the connection is closed. It is nil only while the
// connection sleeps, and then no operation gets here.
func (k *core) tr() *transport { return k.transport.Load() }

// newTransport makes the transport of nc.
func (k *core) newTransport(nc net.Conn) *transport {
	t := &transport{nc: nc}
	k.openRaw(t)
	return t
}

// closeTransport closes the net.Conn. If a write over TLS was cut, the stream has ended
// within a record: the socket is closed first, so that no alert waits behind that.
func (k *core) closeTransport(t *transport) error {
	if k.torn.Load() == 0 {
		return t.nc.Close()
	}
	nc := t.nc
	for range maxWrappers {
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = inner.NetConn()
		if _, secure := inner.(*tls.Conn); secure {
			err := nc.Close()
			_ = t.nc.Close() // it fails, but wakes what waits for it
			return err
		}
	}
	return t.nc.Close()
}

// addresses is who knows the addresses of a connection.
type addresses interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// addresses needs no lock.
func (k *core) addresses() addresses {
	for {
		if t := k.tr(); t != nil {
			if t.before != nil {
				return t.before
			}
			return t.nc
		}
		if s := k.asleep.Load(); s != nil { // else it has woken meanwhile
			return s
		}
	}
}

// sleeper is what is left of the transport of a sleeping connection: 64 bytes.
type sleeper struct {
	watcher sleep.Watcher
	file    *os.File // it owns the descriptor, once a wake has failed

	local  unique.Handle[netip.AddrPort] // the connections of a listener mostly share it
	unix   *[2]net.Addr                  // local and remote, if it is no TCP connection
	remote [16]byte                      // an IPv4 address is mapped into IPv6
	fd     int32
	port   uint16 // the peer's
	short  bool   // remote is an IPv4 address that was not mapped
}

// keepAddresses keeps the addresses of t; false for addresses of another kind.
func (s *sleeper) keepAddresses(t *transport) bool {
	if b := t.before; b != nil {
		s.local, s.unix, s.remote, s.port, s.short = b.local, b.unix, b.remote, b.port, b.short
		return true
	}
	local, remote := t.nc.LocalAddr(), t.nc.RemoteAddr()
	switch t.nc.(type) {
	case *net.UnixConn:
		s.unix = &[2]net.Addr{local, remote}
		return true
	case *net.TCPConn:
		l, lok := local.(*net.TCPAddr)
		r, rok := remote.(*net.TCPAddr)
		if lok && rok && r.Zone == "" {
			addr := r.AddrPort().Addr()
			s.local = unique.Make(l.AddrPort())
			s.remote, s.port, s.short = addr.As16(), uint16(r.Port), addr.Is4()
			return true
		}
	}
	return false
}

// LocalAddr is the address on this side.
func (s *sleeper) LocalAddr() net.Addr {
	if s.unix != nil {
		return s.unix[0]
	}
	return net.TCPAddrFromAddrPort(s.local.Value())
}

// RemoteAddr is the address of the peer.
func (s *sleeper) RemoteAddr() net.Addr {
	if s.unix != nil {
		return s.unix[1]
	}
	addr := netip.AddrFrom16(s.remote)
	if s.short {
		addr = addr.Unmap()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, s.port))
}
