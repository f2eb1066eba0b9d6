// Package pipeline carries the calls of many callers over few connections.
//
// A connection of a pool serves one caller at a time: each call costs a write,
// a read and two wakes, and a thousand callers need a thousand connections. A
// [Pipeline] lets callers share. Requests are written one behind the other
// without waiting for replies, and what many callers have to say goes out in
// one system call.
//
//	p, err := pipeline.New(conn.Target{Address: "10.0.0.1:8999"}, framing.Format{}, pipeline.Config{})
//	...
//	reply, err := p.Call(ctx, request)
//
// # What the server must do
//
// It replies to each frame with one frame. The wire is that of
// [framing.Format], by default gtcp's package protocol. Without Config.Match
// replies come in the order of the requests: a server that reads and replies in
// a loop does it right. A slow request then delays those behind it on its
// connection.
//
// Many protocols carry a number in each frame that pairs a reply with its
// request: DNS, Modbus/TCP, Kafka, SMPP, memcached's binary protocol.
// Config.Match says where it is. Replies may then come in any order, and a slow
// request delays nobody. The pipeline puts numbers of its own into the requests,
// so that those of two callers never meet, and the caller's back into the
// reply. A frame that replies to no call goes to Config.OnPush. docs/wire.md has
// a table of protocols with their Format and Match.
//
// # Calls that are given up
//
// A call ends when its context does. If its request has not been written it
// leaves no trace. If it has, its place in the order, or its number, stays taken,
// and its reply is read and dropped: it is never another call's. If the server
// never sends it, Config.StallTimeout ends or replaces the connection.
//
// # Connections that end
//
// A connection ends when it fails, when the peer closes it, and when the peer
// sends what nobody asked for or more than the format allows: after that the
// order can no longer be trusted. Calls in flight then fail with an [*Error]
// that says whether the request was written. If not one byte of it was,
// [Error].SafeToRetry is true. The pipeline itself repeats a request on
// another connection where the peer cannot have acted on it: once if it met a
// connection that the peer had closed while it was idle, and up to MaxConns + 1
// times if the peer said goodbye (Config.Goodbye) before it replied. A connection that never brought a
// reply counts as a failed dial instead. How soon a close is noticed, [Pipeline]
// says. The retry package and gtcp.Client build on that.
//
// Connections are dialed by the calls that need them. After three failed dials
// in a row calls fail at once, with a [conn.BackoffError], until the next dial is
// due: see [conn.DialBackoff]. While callers wait for a dial that takes more
// than half a second, up to two more are tried beside it.
//
// A connection is replaced after Config.MaxLifetime, the successor first. A
// connection that owes replies and is silent takes no new calls while another
// can be had, so that one patient caller does not keep the others on a dead
// connection. Config.Heartbeat notices a silent peer where no call does.
//
// # Costs
//
// [Pipeline.AppendCall] allocates nothing where its destination has room. A
// call that finds nothing else in flight writes and reads on its caller's
// goroutine, and takes about a tenth longer than a bare write and read; it
// allocates twice if its context can end, to be told of that while it reads.
// Any other call is written and read by the connection's goroutines, of which
// there are three, and a fourth with OnPush. Each connection holds memory for
// the requests that wait to be written, and a read buffer only while there are
// bytes in it.
package pipeline
