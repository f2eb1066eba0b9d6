// Package gtcp is a TCP SDK for programs that make very many short requests to
// the same addresses, and for the servers that answer them.
//
// A new program takes a [Client]: it is told what to send and until when, and
// does the rest. Connections are kept and reused, one that has died is replaced
// before anything is sent on it, and a call is repeated only where that is safe.
//
//	client := gtcp.NewClient("127.0.0.1:8999", gtcp.ClientConfig{})
//	defer client.Close()
//	reply, err := client.Call(ctx, []byte("hello"))
//
// With ClientConfig.Shared all callers share a few connections, which is ten
// times as fast where many call at once. The server for it is in package server.
//
// # Programs written for GoFrame's net/gtcp
//
// All else in this package stands in for that one: a program changes the import
// path and compiles. [NewPoolConn] borrows a connection to an address, and Close
// gives it back:
//
//	c, err := gtcp.NewPoolConn("127.0.0.1:8999")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	reply, err := c.SendRecv([]byte("hello"), -1)
//
// [Conn] is a connection of one's own and [Server] the accepting side. What is
// the same, what differs on purpose and what to change to get more is in
// docs/compat.md. [ConfigurePools] sets how the pools behind NewPoolConn work;
// that and the named servers are the only global state of the module.
//
// # Errors
//
// All errors unwrap, so errors.Is and errors.As find what is below. A timeout is
// a net.Error. The end of the stream is the bare io.EOF, a closed connection,
// pool or server is net.ErrClosed. retry.SafeToRetry tells whether what failed
// may be done again.
//
// # Concurrency
//
// A Client and a Server may be used by any number of goroutines. Of a Conn one
// goroutine may send while another receives, and messages stay whole if several
// do.
//
// # The layers
//
// Each is a package that is useful alone: conn is one connection, framing
// length-prefixed frames on any stream, retry the policy, pool pooled
// connections over a backend that can be swapped, pool/pipeline calls that share
// connections, server the accepting side.
package gtcp
