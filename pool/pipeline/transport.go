package pipeline

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// peerLeft tells whether a connection ended because the peer closed it.
func peerLeft(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, wsaConnReset) || errors.Is(err, wsaConnAborted)
}

// How Windows says that the peer reset the connection: there syscall.ECONNRESET
// is a number that no call returns.
const wsaConnAborted, wsaConnReset = syscall.Errno(10053), syscall.Errno(10054)

// onSocket tells whether there is a socket under nc.
func onSocket(nc net.Conn) bool {
	for nc != nil {
		if _, ok := nc.(syscall.Conn); ok {
			return true
		}
		w, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		nc = w.NetConn()
	}
	return false
}

// opaque tells whether nc may have sent more than its failed Write counts, and
// cannot go on after one: TLS, and whatever else there may be above a socket or
// another connection. It is package conn's rule too.
func opaque(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return false
	}
	_, layer := nc.(interface{ NetConn() net.Conn })
	_, socket := nc.(syscall.Conn)
	return layer || socket
}
