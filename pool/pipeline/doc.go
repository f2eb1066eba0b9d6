// Package pipeline sends the calls of many callers over a few shared
// connections.
//
// A connection of a pool serves one caller at a time. Each call costs a write,
// a read and two goroutine wake-ups, and 1,000 concurrent callers need 1,000
// connections. In a [Pipeline], callers share connections. Requests are written
// one after another without waiting for replies, and one system call can write
// the requests of many callers.
//
//	p, err := pipeline.New(conn.Target{Address: "10.0.0.1:8999"}, framing.Format{}, pipeline.Config{})
//	...
//	reply, err := p.Call(ctx, request)
//
// # What the server must do
//
// It replies to each frame with one frame. The wire is that of
// [framing.Format], by default gtcp's package protocol. Without Config.Match
// replies must come in the order of the requests. A server that reads and
// replies in a loop does that. A slow request then delays those behind it on
// its connection.
//
// Many protocols carry a number in each frame that pairs a reply with its
// request: DNS, Modbus/TCP, Kafka, SMPP, memcached's binary protocol.
// Config.Match says where it is. Replies may then come in any order, and a slow
// request delays no other call. The pipeline replaces the number in each request
// by its own number, so that two requests never have the same one. It puts the
// caller's number back into the reply. A frame that is not a reply goes to
// Config.OnPush. docs/wire.md has a table of protocols with their Format and
// Match.
//
// # Calls whose context ends
//
// A call ends when its context does. If its request was not written, nothing is
// sent. If it was written, its place in the order, or its number, stays in use.
// Its reply is read and dropped, and never returned to another call. If the
// server never sends it, Config.StallTimeout ends or replaces the connection.
//
// # Connections that end
//
// A connection ends when it fails, when the peer closes it, and when the peer sends
// an unsolicited or oversize frame. After such a frame the order of the replies is
// not known. Calls in flight then fail with an [*Error] that says whether the
// request was written. If not one byte of it was, [Error].SafeToRetry is true. The
// pipeline itself repeats a request on another connection in two cases, in which
// the peer cannot have acted on it. It does so once if the peer had closed the
// connection while it was idle. It does so up to MaxConns + 1 times if the peer
// sent Config.Goodbye before it replied. If a connection never brought a reply, its
// end counts as a failed dial instead. The comment of [Pipeline] says how soon a
// close is noticed. Package retry and gtcp.Client use SafeToRetry for further
// attempts.
//
// Connections are dialed by the calls that need them. After three failed dials in
// a row calls fail at once, with a [conn.BackoffError], until the next dial is
// due: see [conn.DialBackoff]. If callers wait for a dial for more than half a
// second, up to two more dials begin in parallel.
//
// A connection is replaced after Config.MaxLifetime. The new connection is
// dialed before the old one ends. If a connection has calls in flight and
// receives nothing for some time, it takes no new calls while another
// connection is available. So one caller with a long deadline does not keep
// the others on a dead connection. Config.Heartbeat detects a silent peer
// when there are no calls.
//
// # Costs
//
// [Pipeline.AppendCall] allocates nothing if its destination has room. If no
// other call is in flight, a call writes and reads on its caller's goroutine.
// That takes about 10 % longer than a plain write and read. Such a call
// allocates twice if its context can end. All other calls are written and read
// by the connection's three goroutines; with OnPush there is a fourth one.
// Each connection holds memory for the requests that wait to be written. It
// holds a read buffer only while there are bytes in it.
package pipeline
