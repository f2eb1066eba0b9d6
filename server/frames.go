package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// What zero timeouts of a FrameHandler mean.
const (
	defaultReadTimeout  = 30 * time.Second
	defaultWriteTimeout = 30 * time.Second
	defaultIdleTimeout  = 15 * time.Minute
	defaultParkAfter    = time.Second
	defaultSleepAfter   = time.Minute
)

// ErrNoReply is what Handle or Append of a FrameHandler returns for a one-way
// message: the request gets no reply frame.
var ErrNoReply = errors.New("server: no reply")

// Frames returns a FrameHandler that replies to each frame of format f with what
// handle returns. Set further fields before serving with it: without ErrorReply
// an error of handle ends the connection, and the client reads io.EOF.
func Frames(f framing.Format, handle func(ctx context.Context, req []byte) (reply []byte, err error)) *FrameHandler {
	return &FrameHandler{Format: f, Handle: handle}
}

// Invoker handles one request: it may append the reply to dst, or return another
// slice. req is valid until it returns.
type Invoker func(ctx context.Context, dst, req []byte) (reply []byte, err error)

// FrameHandler is a Handler of connections that carry requests as frames. Each
// request gets one reply frame, in the order of the requests. Only Handle or Append
// must be set.
//
// Replies are collected, and written when no complete request is left in the
// read buffer. So the replies to pipelined requests take few system calls, and a
// single reply is written at once. Between requests a connection holds no
// buffer.
//
// One FrameHandler serves any number of connections and servers. Fields must not
// change once it serves, and it must not be copied.
type FrameHandler struct {
	// Format is how requests and replies are framed, the limit on their size
	// included. The zero value is gtcp's package protocol: a length of 2 bytes.
	// A request over the limit is logged and ends its connection, after the
	// replies to those before it. With Format.SkipOversize and an ErrorReply,
	// or an ErrorReplyTo, it gets that reply instead, and the connection stays open.
	Format framing.Format

	// Handle handles one request and returns the reply. req is valid only until
	// Handle returns. The reply may be req or a part of it. An empty reply is
	// sent as an empty frame; return ErrNoReply to send no frame. The reply is
	// copied before the next call, so without Concurrency Handle may reuse its
	// memory. Handle is required, unless Append is set.
	Handle func(ctx context.Context, req []byte) (reply []byte, err error)

	// Append is a Handle that can build replies without allocation. It
	// appends the reply to dst and returns the extended slice. dst is an
	// empty buffer that is reused. Append may also return another slice, as
	// Handle does. Set either Append or Handle.
	Append func(ctx context.Context, dst, req []byte) (reply []byte, err error)

	// ErrorReply, if not nil, returns the reply to a request whose handler
	// returned err. If the field or its result is nil, the error is logged and
	// ends the connection, after the replies to earlier requests. Concurrency
	// applies to it as to Handle.
	ErrorReply func(ctx context.Context, err error) []byte

	// ErrorReplyTo is an ErrorReply that gets the request too, for protocols whose
	// replies repeat a number of their requests. It also makes the replies to
	// requests that the Limiter refuses. req is as the handler left it, and the
	// reply may be a part of it. For a request over the size limit that is skipped,
	// req is nil. Set either ErrorReplyTo or ErrorReply.
	ErrorReplyTo func(ctx context.Context, req []byte, err error) []byte

	// Concurrency is how many requests of one connection may be in progress at
	// once. Each runs on a goroutine that exists only while requests are in
	// progress. Replies are still sent in the order of the requests. A request
	// whose reply waits for its turn is in progress. Zero, 1 and negative mean
	// that requests are handled one after another.
	Concurrency int

	// Unordered sends each reply as soon as it is ready, for protocols whose
	// frames carry a number that pairs a reply with its request. It needs
	// Concurrency above 1.
	Unordered bool

	// MaxReplyBytes limits the bytes of the replies that wait on one connection
	// for their turn, or for the peer to read. Above the limit, no further
	// request is read or handled. So a connection holds at most this many bytes,
	// plus the replies of the requests in progress. It matters if Concurrency is
	// above 1, because one slow request delays the replies behind it. Zero means
	// 256 KiB, negative no bound.
	MaxReplyBytes int

	// Limiter, if not nil, bounds the requests in progress over all connections.
	// It may be shared with other FrameHandlers.
	Limiter *Limiter

	// Envelope says that requests and replies begin with an envelope: see package
	// envelope and docs/wire.md. gtcp.ClientConfig has the same field. Handle,
	// Append, Intercept and hooks then see requests and replies without
	// envelopes. The context of a request ends when its caller no longer waits,
	// and [envelope.FromContext] and [envelope.TraceFromContext] tell what else
	// the envelope has. If the caller's time passes before the turn of the
	// request, the request is not handled, and its reply has the status
	// envelope.StatusTooLate. If the Limiter refuses the request, the status is
	// envelope.StatusOverloaded. An error of the handler becomes a status too: an
	// *envelope.StatusError its own, with the message, and the end of the caller's
	// time envelope.StatusTimeout. Any other error is envelope.StatusFailed without
	// a message; the server logs that error. The
	// connection stays open. ErrorReply or ErrorReplyTo, if set, returns the payload
	// of these replies. A request without a valid envelope, or over the size limit, ends
	// its connection. Goodbye is envelope.Goodbye() unless it is set. Frames of
	// Send must begin with an envelope with Push. Format.Strip must be 0.
	Envelope bool

	// Deadline, if not nil, returns how long the caller of req waits for its
	// reply, counted from the arrival of the request. Use it if requests carry
	// such a time in a form of your own; with Envelope, Deadline must be nil.
	// Zero means no limit. Negative
	// means that the time has passed. The context of the request ends after that
	// time. If the time passes before the turn of the request, the request is not
	// handled: its reply is what ErrorReply or ErrorReplyTo returns for
	// context.DeadlineExceeded.
	// For a request that waits in the read buffer, the time counts from the last
	// read.
	Deadline func(req []byte) time.Duration

	// Intercept, if not nil, wraps the handling of each request. It is called once.
	// next calls Handle or Append, and the function that Intercept returns is
	// called for each request. That function may change the context, the request,
	// the reply and the error. To use several, let one call the next.
	Intercept func(next Invoker) Invoker

	// Goodbye, if not nil, is the payload of the last frame that a draining server
	// sends on each connection before it closes its side. It tells the client that
	// every request without a reply was not handled, so it is safe to repeat.
	// Client and server must agree on it (gtcp.ClientConfig has the same field);
	// no reply may equal it.
	Goodbye []byte

	// ReadTimeout bounds the time from the first byte of a request, or from
	// when the server starts to read it, until all of it has arrived. Zero means
	// 30 seconds, negative no bound.
	ReadTimeout time.Duration

	// WriteTimeout bounds each write of collected replies (at most 64 KiB, or
	// one larger reply) and each Send. If the peer does not read for that long,
	// the connection is closed. Zero means 30 seconds. Negative means no limit.
	WriteTimeout time.Duration

	// HalfClose says that a peer may close its side of the connection and still
	// wait for replies. If it is false, the context of a request ends when the
	// peer's stream ends, because a client that no longer waits closes the
	// connection. The requests that the peer has sent are still handled. A reset
	// always ends the context, and requests that have not begun are dropped. On
	// Linux the server notices within 0.2 seconds. On other systems, and if the
	// transport is not a socket, it notices only if Concurrency is above 1.
	HalfClose bool

	// IdleTimeout bounds the wait for the first byte of the next request. Zero
	// means 15 minutes. Negative means no limit. The default is longer than the
	// 600 seconds after which this module's pool replaces a connection. So the
	// client closes first, and no request is sent on a connection that the
	// server is closing.
	IdleTimeout time.Duration

	// ParkAfter is how long a connection must have been idle before it gives up its
	// goroutine. Then the server waits for the next byte of all these connections
	// with one goroutine, and a connection that gets one is served by a new goroutine.
	// That more than halves the memory of an idle connection. Zero means 1 second,
	// and at most 0.1 s before the second request. Negative means never. It has an
	// effect on Linux, for TCP and unix sockets, with and without TLS, if the
	// FrameHandler is the Handler of its Server.
	ParkAfter time.Duration

	// SleepAfter is how long a connection must have been idle before a parked one
	// gives up its net.Conn too, and keeps only its descriptor. That leaves 0.4
	// of the memory of a parked connection. The first request after that takes some
	// 50 µs longer than on a parked one. Zero means 1 minute, and at most 0.2 s before
	// the second request if ParkAfter is zero too. Negative means never. It has an
	// effect where ParkAfter has, but not with TLS, with a listener that is not of
	// package net, and on a connection of which somebody has called NetConn.
	SleepAfter time.Duration

	composing sync.Once // makes the fields below
	handler   Invoker   // Handle or Append, within Intercept
	invoke    Invoker   // handler, within Limiter; nil without either

	scratch  sync.Pool // of *exchange
	requests sync.Pool // of *request
}

// Validate returns an error that names the first invalid field, or nil.
func (h *FrameHandler) Validate() error {
	switch {
	case h.Handle == nil && h.Append == nil:
		return errors.New("server: FrameHandler has neither Handle nor Append")
	case h.Handle != nil && h.Append != nil:
		return errors.New("server: FrameHandler has both Handle and Append")
	case h.ErrorReply != nil && h.ErrorReplyTo != nil:
		return errors.New("server: FrameHandler has both ErrorReply and ErrorReplyTo")
	case h.Unordered && h.Concurrency <= 1:
		return errors.New("server: FrameHandler.Unordered needs Concurrency above 1")
	case h.Envelope && h.Deadline != nil:
		return errors.New("server: FrameHandler has both Envelope and Deadline")
	case h.Envelope && h.Format.Strip < 0:
		return errors.New("server: FrameHandler.Envelope needs a Format whose Strip is 0: an envelope begins the payload")
	}
	if h.Limiter != nil {
		if err := h.Limiter.Validate(); err != nil {
			return err
		}
	}
	err := h.Format.Validate()
	if err == nil {
		_, err = h.Format.Append(nil, nil)
		if !errors.Is(err, framing.ErrReadOnly) {
			err = nil
		}
	}
	if err == nil && h.Goodbye != nil {
		if _, err := h.Format.Append(nil, h.Goodbye); err != nil {
			return fmt.Errorf("server: FrameHandler.Goodbye: %w", err)
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("server: FrameHandler.Format: %w", err)
}

// mostHeld is MaxReplyBytes, resolved.
func (h *FrameHandler) mostHeld() int {
	switch {
	case h.MaxReplyBytes == 0:
		return 256 << 10
	case h.MaxReplyBytes < 0:
		return math.MaxInt
	}
	return h.MaxReplyBytes
}

// shortest is the shortest timeout in force, 0 if there is none.
func (h *FrameHandler) shortest() time.Duration {
	shortest := time.Duration(0)
	for _, d := range []time.Duration{
		orDefault(h.ReadTimeout, defaultReadTimeout),
		orDefault(h.WriteTimeout, defaultWriteTimeout),
		orDefault(h.IdleTimeout, defaultIdleTimeout),
		min(h.parkAfter(), time.Hour) * ticksPerTimeout, // once in that time is enough
		min(h.sleepAfter(), time.Hour) * ticksPerTimeout,
	} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return shortest
}

// orDefault resolves a timeout field; 0 is no bound.
func orDefault(d, zero time.Duration) time.Duration {
	switch {
	case d == 0:
		return zero
	case d < 0:
		return 0
	}
	return d
}

// timedOut reports whether err is a deadline that passed.
func timedOut(err error) bool {
	ne, ok := err.(net.Error) // errors.As takes more stack than an idle connection has
	return ok && ne.Timeout() || !ok && wrapsTimeout(err)
}

//go:noinline
func wrapsTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// frameConn is one connection under a FrameHandler. It belongs to the goroutine that
// serves the connection.
type frameConn struct {
	h      *FrameHandler
	conn   *conn.Conn
	sess   *session
	ctx    context.Context // of the handlers
	x      *exchange       // while requests are in progress
	linger bool            // the peer may still be sending: close after it has seen the replies
	stuck  bool            // the peer does not read: close without a courtesy

	now    standing
	plain  bool       // nothing is to be done for a request but to call Handle
	step   *conn.Step // within ReadLoop
	noLoop bool       // the connection has no ReadLoop
	rounds int        // how often the loop got bytes, up to busyFrom
	detour bool       // the ReadLoop has ended: meet the cause by a read that waits

	endWatched bool // the poller wakes the loop at the end of the stream

	drained bool // the server drains, and every request begun has its reply

	many *concurrent // once there was a request, if they are handled concurrently
}

func (f *frameConn) draining() bool    { return f.sess.srv.draining.Load() }
func (f *frameConn) log() *slog.Logger { return f.sess.srv.logger() }

// sum logs what a peer can cause as often as it likes.
func (f *frameConn) sum(level slog.Level, message string, args ...any) {
	f.sess.srv.sum(level, message, args...)
}

// hinted adds to the details of a log line what an unfinished request looks like.
func (f *frameConn) hinted(details ...any) []any {
	if hint := f.x.r.Hint(); hint != "" {
		details = append(details, "hint", hint)
	}
	return details
}

// await waits for the first byte of the next request. The result is over if there
// will be none that should be handled, and aside if the connection was parked.
//
// This is where a draining server wakes an idle connection by a deadline. The flag is
// set before that deadline and read here before waiting, so one of the two is seen.
func (f *frameConn) await() standing {
	for {
		if f.draining() {
			return f.lastRequests()
		}
		_, err := f.conn.Peek(1)
		switch {
		case err == nil:
			return idle
		case !timedOut(err):
			f.readFailed(err)
			return over
		case f.woken():
			if f.park() {
				return aside
			}
		case f.many != nil && f.many.wait(true):
			f.rest(true) // not idle while requests are in progress
		default:
			return f.idledOut()
		}
		if f.many != nil && f.many.over() {
			return over
		}
	}
}

// readFailed tells the requests in progress what the reader has heard of the peer.
func (f *frameConn) readFailed(err error) {
	if f.many != nil {
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		f.sess.peerGone(ended, !ended)
	}
}

// rest says that the connection waits for the next request, or has one.
func (f *frameConn) rest(waiting bool) {
	if waiting {
		f.sess.idles(f.h)
	}
	if f.many != nil && f.many.wait(waiting) {
		return
	}
	if waiting {
		f.sess.setState(StateIdle)
	}
}

// idles notes when the wait for the next request begins, and until when that request
// must have begun.
func (s *session) idles(h *FrameHandler) {
	s.idleSince.Store(s.srv.clock.now.Load() + s.srv.clock.tick.Load())
	s.readDue.Store(s.srv.clock.after(orDefault(h.IdleTimeout, defaultIdleTimeout)))
}

// woken decides about a read that a deadline in the past ended: false if its time
// is over, or if the connection was closed meanwhile. Otherwise somebody wanted its
// attention, or a timeout struck as it was met, and reading goes on.
//
// The read deadline has these writers. Other goroutines set it to a time in the past
// to wake the reader, and each sets what the reader is to find before that: the
// watch readDue or session.parking, a drain Server.draining, and the writer of a
// connection with Concurrency its failed. The connection's own goroutine clears it here and in
// arrived, and sets it for waits of its own in byteBefore and readAhead. It looks at
// all of them after each clearing and before it waits again, so no wake is lost: a
// deadline that is set later ends that wait.
func (f *frameConn) woken() bool {
	return !f.overdue() && f.conn.SetReadDeadline(time.Time{}) == nil
}

// overdue says that the time of the read is over. If it is not, and woken is false, the
// connection was closed on this side.
func (f *frameConn) overdue() bool { return f.sess.readDue.Load() == overdue }
