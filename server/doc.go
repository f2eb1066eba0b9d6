// Package server is for the accepting side of a TCP service that runs for years. A
// [Server] accepts connections, limits, observes and drains them, and a [Handler]
// serves each. It takes any net.Listener: TCP, unix, TLS, PROXY protocol, a socket
// from systemd or from the process before it.
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
// ready. It has timeouts for a request to arrive whole, for replies to be taken, and
// for the next request to come. An idle connection costs its goroutine's stack and
// its socket, no buffer. [Send] sends frames that answer no request. A [Limiter]
// bounds the requests in progress over all connections.
//
// The context of a request ends when its client goes, where that can be told: see
// [FrameHandler.HalfClose].
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
// [FrameHandler] does that without destroying replies on their way: it ends its own
// side and gives the peer half a second to end the other. A peer that never pauses
// does not hold it up. [Server.Close] ends everything at once.
//
//	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
//	defer cancel()
//	err := srv.Shutdown(ctx)
//
// A request that a client sends after Shutdown was called is not begun: the client
// reads io.EOF with no reply. With [FrameHandler.Goodbye] it reads an agreed last
// frame before, which tells it that every request without a reply can be repeated.
//
// # Surviving
//
// An error of accept that says nothing about the listener, such as no file
// descriptors left, is logged and retried with backoff. A panic in a handler is
// logged with its stack and the peer's address and ends one connection. MaxConns and
// MaxConnsPerIP refuse at once. TLS handshakes run apart from the accept loop, under
// a timeout.
//
// # Seeing inside
//
// [Server.Stat] has figures, [Server.Conns] lists the connections, and Server.Hooks
// observe requests, errors of accept and panics. The log is a slog.Logger. What a
// peer can cause as often as it likes is summed up: one line a second for each kind.
package server
