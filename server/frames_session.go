package server

import (
	"context"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// ServeConn serves the requests on c until the peer closes its side, an error or
// a timeout occurs, or the server drains. It always closes c. Outside a Server,
// it also ends when ctx does.
func (h *FrameHandler) ServeConn(ctx context.Context, c *conn.Conn) {
	sess := sessionOf(ctx)
	if sess == nil {
		h.serveAlone(ctx, c)
		return
	}
	h.serveSession(ctx, sess, false)
}

// standing is where a connection stands when the requests that have arrived are
// handled.
type standing uint8

const (
	idle  standing = iota // it stands between two requests
	cut                   // the rest of a request is waited for
	over                  // it is to be closed
	aside                 // it is parked: another goroutine may serve it
)

// serveSession serves a connection: within ReadLoop (see frames_loop.go) as long as
// all is ordinary, else by reads that wait. It waits for a request, or for the rest of
// one, and serves what comes until the connection is idle again. It returns true if
// the connection was parked. resumed says that it was parked before.
func (h *FrameHandler) serveSession(ctx context.Context, sess *session, resumed bool) bool {
	f := h.open(ctx, sess, resumed)
	defer f.close()
	for f.now < over {
		if f.mayLoop() {
			f.looped(f.conn.ReadLoop(f.loopStep()))
			continue
		}
		f.detour = false
		if f.now == idle {
			if f.now = f.await(); f.now != idle {
				break
			}
			f.beginRequest()
		}
		if f.now = f.serve(); f.now == idle {
			f.rest(true)
		}
	}
	return f.now == aside
}

// open begins the serving. It is kept off the stack that an idle connection holds,
// and so is what it returns.
//
//go:noinline
func (h *FrameHandler) open(ctx context.Context, sess *session, resumed bool) *frameConn {
	h.composing.Do(h.compose)
	f := &frameConn{h: h, conn: sess.conn, sess: sess, ctx: ctx}
	f.plain = h.Handle != nil && h.invoke == nil && !h.Envelope && h.Deadline == nil &&
		h.Concurrency <= 1 && h.ErrorReplyTo == nil && len(sess.srv.Hooks) == 0
	if resumed {
		return f
	}
	sess.frames.Store(h)
	sess.enter(inFrames)
	sess.srv.watchFor(h.shortest())
	sess.srv.wakeForRequest()
	f.rest(true)
	return f
}

// serveAlone gives a connection that no Server accepted a server of its own.
func (h *FrameHandler) serveAlone(ctx context.Context, c *conn.Conn) {
	srv := &Server{Handler: h}
	sess := &session{srv: srv, conn: c}
	srv.track(sess)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		stop()
		sess.connClosed()
		sess.handlerDone(new(bool))
		_ = srv.Shutdown(context.Background())
	}()
	h.ServeConn(context.WithValue(ctx, sessionKey{}, sess), c)
}
