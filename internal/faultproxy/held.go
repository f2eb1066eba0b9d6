package faultproxy

import (
	"errors"
	"net"
)

// HeldAddr returns a TCP address on 127.0.0.1 that stays the caller's until stop, also
// while nobody listens there: the system gives its port to no other program that asks for
// a free one. Who asks for it by its number can listen there, again and again, and in
// another process too; dials are refused meanwhile. Use it where a server is started at a
// known address, or again at the same one. Where nobody is to listen at all, use
// [RefusedAddr].
func HeldAddr() (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	stop, err = hold(l)
	if err = errors.Join(err, l.Close()); err != nil {
		if stop != nil {
			err = errors.Join(err, stop())
		}
		return "", nil, err
	}
	return l.Addr().String(), stop, nil
}

// hold keeps the port of a listener that nobody accepts from yet. The end of a connection
// that the listener accepted has its port, and, unlike the end that dialed, lets others
// listen there.
func hold(l net.Listener) (stop func() error, err error) {
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	near, err := l.Accept()
	for err == nil && near.RemoteAddr().String() != far.LocalAddr().String() {
		// Somebody who takes this port for another's.
		if err = near.Close(); err == nil {
			near, err = l.Accept()
		}
	}
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	// The end that is closed last leaves no port in TIME_WAIT.
	return func() error { return errors.Join(far.Close(), near.Close()) }, nil
}
