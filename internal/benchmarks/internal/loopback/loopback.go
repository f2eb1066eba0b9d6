// Package loopback has plain servers and connections on loopback, in the
// process that measures. They last as long as it does.
package loopback

import (
	"fmt"
	"net"
	"os"
)

// Serve calls handle for each connection, in a goroutine of its own, and closes
// the connection when handle returns.
func Serve(handle func(net.Conn)) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil { // callers would wait for ever
				fmt.Fprintln(os.Stderr, "accepting:", err)
				os.Exit(1)
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr().String(), nil
}

// Echo sends back what comes, as it comes.
func Echo(c net.Conn) {
	buf := make([]byte, 1<<17)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Pair returns the two ends of a connection.
func Pair() (a, b *net.TCPConn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	accepted, err := l.Accept()
	if err != nil {
		_ = dialed.Close()
		return nil, nil, err
	}
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn), nil
}
