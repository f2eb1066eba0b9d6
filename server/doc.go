// Package server is the accepting side of a TCP service that runs for years: a
// [Server] accepts, limits, watches and drains connections, and a [Handler]
// serves each. It takes any net.Listener: TCP, unix, TLS, PROXY protocol, a socket
// from systemd or from the process before it.
//
// # Frames
//
// For request and reply in length-prefixed frames, one call makes the
// handler:
//
//	srv := &server.Server{
//		Handler: server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
//			return append([]byte("> "), req...), nil
//		}),
//	}
//	err := srv.ListenAndServe("tcp", "127.0.0.1:8999")
//
// [FrameHandler] answers in the order of the requests, collects answers to
// pipelined requests into few writes, and has the timeouts that keep a peer from
// holding a connection for nothing: for a request to arrive whole, for answers to
// be taken, for the next request to come. Between requests a connection costs its
// goroutine's stack and its socket, no buffer.
//
// # Raw connections
//
// Any other protocol is a [HandlerFunc] on a [conn.Conn]. It sets its own
// deadlines, and ends when it reads io.EOF.
//
// # Stopping
//
// [Server.Shutdown] loses no request that has reached the server: what had arrived
// when it was called is answered, then the connection is closed. A [FrameHandler]
// does that in a way that does not destroy replies still on their way: it ends its
// own side and gives the peer half a second to end the other. A peer that never
// pauses does not hold it up. [Server.Close] ends everything at once.
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
// Running out of file descriptors, or any other error of accept that passes, is
// logged and waited out. A panic in a handler is logged with its stack and the
// peer's address and ends one connection. MaxConns and MaxConnsPerIP refuse at
// once. TLS handshakes run apart from the accept loop, under a timeout. Figures
// are in [Server.Stat]; the log is a slog.Logger.
package server
