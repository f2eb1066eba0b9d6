package faultproxy

import (
	"errors"
	"net"
)

// RefusedAddr returns a TCP address on 127.0.0.1 that refuses connections until stop. Its
// port is that of a connection's other end, so no other program can come to listen
// there, as it can on the port of a listener that was closed.
func RefusedAddr() (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return "", nil, errors.Join(err, l.Close())
	}
	near, err := l.Accept()
	if err = errors.Join(err, l.Close()); err != nil {
		return "", nil, errors.Join(err, far.Close())
	}
	// The end that is closed last leaves no port in TIME_WAIT.
	return far.LocalAddr().String(), func() error { return errors.Join(near.Close(), far.Close()) }, nil
}
