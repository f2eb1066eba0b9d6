// Package server is the server side of a TCP service. A [Server] accepts
// connections, limits their number, observes them and drains them on shutdown. A
// [Handler] serves each connection. Server works with any net.Listener: TCP, unix,
// TLS, PROXY protocol, or a socket inherited from systemd or from an earlier
// process.
//
// # Frames
//
// For requests and replies in length-prefixed frames, one call makes the handler:
//
//	srv := &server.Server{
//		Handler: server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
//			return append([]byte("> "), req...), nil
//		}),
//	}
//	err := srv.ListenAndServe("tcp", "127.0.0.1:8999")
//
// A [FrameHandler] replies in the order of the requests and writes the replies to
// pipelined requests in few system calls. With Concurrency it handles several
// requests of a connection at once; with Unordered it sends each reply when it is
// ready. ReadTimeout limits the time in which a request arrives, WriteTimeout the
// write of replies, and IdleTimeout the wait for the next request. An idle
// connection holds no buffer, and on Linux after ParkAfter no goroutine. [Send]
// sends frames that are not replies. A [Limiter] limits the requests in progress over
// all connections.
//
// The context of a request ends when the client closes the connection, if the
// server can detect that: see [FrameHandler.HalfClose].
//
// # Raw connections
//
// Any other protocol is a [HandlerFunc] on a [conn.Conn]. It sets its own
// deadlines, and ends when it reads io.EOF.
//
// # Stopping
//
// [Server.Shutdown] loses no request that has reached the server. What had arrived
// when it was called is handled and replied to, then the connection is closed. A
// [FrameHandler] closes its side of the connection first, and gives the peer half a
// second to close the other side. So replies that are still in flight are not lost.
// A peer that sends without a pause does not delay Shutdown. [Server.Close] ends
// everything at once.
//
//	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
//	defer cancel()
//	err := srv.Shutdown(ctx)
//
// Serve returns as soon as Shutdown begins. So a program must wait until Shutdown
// has returned before it ends, or the requests in progress are lost.
//
// A request that a client sends after Shutdown was called is not handled: the
// client reads io.EOF and no reply. With [FrameHandler.Goodbye], the client reads
// that frame before io.EOF. It tells the client that every request without a reply
// can be repeated.
//
// # Surviving
//
// A temporary error of Accept, such as no free file descriptors, is logged and
// retried with backoff. A panic in a handler is logged with its stack and the
// peer's address. It ends only that connection. A connection above MaxConns or
// MaxConnsPerIP is closed at once. TLS handshakes do not run in the accept loop,
// and have a timeout.
//
// # Seeing inside
//
// [Server.Stat] has figures, [Server.Conns] lists the connections, and Server.Hooks
// observe requests, errors of accept and panics. The log is a slog.Logger. For
// events that a peer can cause at any rate, the server logs at most one line a
// second for each kind.
package server
