// Package pipeline carries the calls of many callers over few connections.
//
// A connection of a pool serves one caller at a time: each call costs a write,
// a read and two wakes, and a thousand callers need a thousand connections. A
// [Pipeline] lets callers share. Requests are written one behind the other
// without waiting for replies; replies come back in the same order, and so each
// finds its caller. What many callers have to say goes out in one system call.
//
//	p, err := pipeline.New(conn.Target{Address: "10.0.0.1:8999"}, framing.Format{}, pipeline.Config{})
//	...
//	reply, err := p.Call(ctx, request)
//
// # What the server must do
//
// It answers each frame with one frame, in the order of the requests: the wire
// is that of [framing.Format], gtcp's package protocol by default. It need not
// know of pipelining; one that reads and answers in a loop does it right. A
// slow request holds up the ones behind it on its connection, so calls that
// take long, or that a server answers out of order, belong on a pool.
//
// # Calls that are given up
//
// A call ends when its context does. If its request has not been written it
// leaves no trace. If it has, its place in the order stays taken, and its reply
// is read and dropped: it is never another call's. Where the server never sends
// it, Config.StallTimeout ends the connection.
//
// # Connections that end
//
// A connection ends when it fails, when the peer closes it, and when the peer
// sends what nobody asked for or more than the format allows: after that the
// order can no longer be trusted. Calls in flight then fail with an [*Error]
// that says whether the request was written. If not one byte of it was,
// [Error].SafeToRetry is true. The pipeline itself repeats nothing, but for
// requests that met a connection which the peer had closed while it was idle:
// nothing was in flight then, and they go to another connection once, unless
// the closed one had never answered, which counts as a failed dial. How far that
// close is noticed in time, [Pipeline] says. The retry package and gtcp.Client
// build on that.
//
// Connections are dialed by the calls that need them. After three failed dials
// in a row calls fail at once, with a [conn.BackoffError], until the next dial is
// due: see [conn.DialBackoff].
//
// # Costs
//
// [Pipeline.AppendCall] allocates nothing where its destination has room. A
// call that finds nothing else in flight writes and reads on its caller's
// goroutine, and takes about a tenth longer than a bare write and read; it
// allocates twice if its context can end, to be told of that while it reads.
// Any other call is written and read by the connection's two goroutines. Each
// connection holds memory for the requests that wait to be written, and a read
// buffer only while there are bytes in it.
package pipeline
