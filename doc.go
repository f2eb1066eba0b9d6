// Package gtcp is a TCP SDK for programs that make many short requests to the
// same addresses.
//
// # New programs: Client
//
// [Client] sends a request and returns the reply, within a context. It keeps and
// reuses connections, replaces one that has died before anything is sent on it,
// and repeats a call only if that is safe.
//
//	client := gtcp.NewClient("127.0.0.1:8999", gtcp.ClientConfig{})
//	defer client.Close()
//	reply, err := client.Call(ctx, []byte("hello"))
//
// With ClientConfig.Shared all calls share a few connections. That is about ten
// times as fast when many goroutines call at once. Package server has the server
// for it.
//
// # Programs written for GoFrame's net/gtcp: the facade
//
// Everything else in this package is the facade. It replaces GoFrame's package
// net/gtcp: change the import path, and the program compiles. [NewPoolConn] takes
// a connection from the pool of an address, and Close returns it:
//
//	c, err := gtcp.NewPoolConn("127.0.0.1:8999")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	reply, err := c.SendRecv([]byte("hello"), -1)
//
// [Conn] is a connection without a pool, and [Server] the server. docs/compat.md
// says what is the same as in GoFrame, what is different on purpose, and how to
// get more. [ConfigurePools] configures the pools behind NewPoolConn. Those pools
// and the named servers are the only global state of the module.
//
// # Errors
//
// Use errors.Is and errors.As on all errors. A timeout is a net.Error. The end of
// the stream is io.EOF itself. A closed connection, pool or server is
// net.ErrClosed. retry.SafeToRetry tells whether a failed operation can be
// repeated without harm.
//
// # Concurrency
//
// A Client and a Server are safe for concurrent use. On a Conn, one goroutine may
// send while another receives. If several goroutines do the same, each message
// stays whole.
//
// # The other packages
//
// Each can be used without this one: conn (one connection), framing
// (length-prefixed frames on any stream), retry (the retry policy), pool (pooled
// connections, with exchangeable backends), pool/pipeline (calls that share
// connections) and server.
//
// # Reading the sources
//
// The files client*.go are Client, and facade_*.go are the facade. Neither uses
// the other. To follow a call of Client, begin in client.go. To follow a PoolConn,
// read facade_conn.go, facade_sendrecv.go and facade_checkout.go.
package gtcp
