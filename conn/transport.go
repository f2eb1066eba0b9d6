package conn

import (
	"net"
	"net/netip"
	"syscall"
	"unique"
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

// endpoints are the addresses of a sleeping connection.
type endpoints struct {
	local  unique.Handle[netip.AddrPort] // the connections of a listener mostly share it
	remote netip.AddrPort
	unix   *[2]net.Addr // local and remote, if it is no TCP connection
}

// newEndpoints keeps the addresses of nc; false for addresses of another kind.
func newEndpoints(nc net.Conn) (e endpoints, ok bool) {
	local, remote := nc.LocalAddr(), nc.RemoteAddr()
	switch nc.(type) {
	case *net.UnixConn:
		e.unix = &[2]net.Addr{local, remote}
		return e, true
	case *net.TCPConn:
		l, lok := local.(*net.TCPAddr)
		r, rok := remote.(*net.TCPAddr)
		if lok && rok {
			e.local, e.remote = unique.Make(l.AddrPort()), r.AddrPort()
			return e, true
		}
	}
	return e, false
}

// LocalAddr is the address on this side.
func (e *endpoints) LocalAddr() net.Addr {
	if e.unix != nil {
		return e.unix[0]
	}
	return net.TCPAddrFromAddrPort(e.local.Value())
}

// RemoteAddr is the address of the peer.
func (e *endpoints) RemoteAddr() net.Addr {
	if e.unix != nil {
		return e.unix[1]
	}
	return net.TCPAddrFromAddrPort(e.remote)
}
