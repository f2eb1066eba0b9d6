package gtcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// callState is what an attempt of an exclusive client needs while it lasts.
type callState struct {
	of      *callStates // its client's
	held    *pool.Conn
	frame   []byte // the request as it goes over the wire
	reader  *framing.Reader
	dst     []byte
	reply   []byte
	number  uint64        // what Match put into the request
	old     uint64        // what the caller had there
	left    bool          // a goodbye came in place of the reply
	replied bool          // the call is a success
	io      *ioLimit      // the context of I/O of an attempt with a limit, not one that is kept
	get     *getLimit     // of its wait for a connection; not one that somebody may have kept
	notes   *attemptNotes // nil unless hooks are told of attempts
	perform func() error  // (*callState).do, made once
}

// maxKeptFrame is the largest frame buffer kept for other calls, in bytes.
const maxKeptFrame = 64 << 10

// noConn is what a kept reader reads, so that it keeps no connection alive.
var noConn = &conn.Conn{}

// callStates are the settings and the states of one client's attempts.
type callStates struct {
	match   pipeline.Matcher // ClientConfig.Match
	number  atomic.Uint64    // the last that was used
	goodbye []byte           // ClientConfig.Goodbye
	wrapped bool             // ClientConfig.Envelope
	asks    bool             // the pool has not looked at the connection
	kept    bool             // functions of the user's may keep the context of a wait
	pool    *statePool
}

// statePool keeps the states of ended attempts for others.
type statePool struct {
	format framing.Format
	states sync.Pool
}

// statePools has a statePool for each Format that a client has had: clients with the
// same Format share one. A program with thousands of clients then has a few states,
// which are in the caches of the processor, and not thousands. A sync.Pool also has
// 128 bytes for each processor of the machine.
var statePools sync.Map // of *statePool by framing.Format

func statePoolOf(f framing.Format) *statePool {
	p, found := statePools.Load(f)
	if !found {
		p, _ = statePools.LoadOrStore(f, &statePool{format: f})
	}
	return p.(*statePool)
}

func (s *callStates) get() *callState {
	x, ok := s.pool.states.Get().(*callState)
	if !ok {
		x = &callState{reader: framing.NewReader(noConn, s.pool.format)}
		x.perform = x.do
	}
	x.of = s
	return x
}

func (s *callStates) put(x *callState) {
	x.reader.Reset(noConn)
	x.of, x.held, x.dst, x.reply, x.notes = nil, nil, nil, nil, nil
	x.left, x.replied = false, false
	switch {
	case x.io == nil:
	case x.io.kept:
		x.io = nil
	default:
		*x.io = ioLimit{}
	}
	if cap(x.frame) > maxKeptFrame {
		x.frame = nil
	}
	s.pool.states.Put(x)
}

// next returns the number of the next request: 1 to the matcher's largest, in
// turn.
func (s *callStates) next() uint64 {
	n := s.number.Add(1)
	if largest := s.match.Max(); largest < math.MaxUint64 {
		n = (n-1)%largest + 1
	}
	return n
}

// exclusive makes one attempt at a call on a connection of the pool. A
// connection on which anything went wrong is not used again.
func (e *endpoint) exclusive(ctx context.Context, limit *sharedDeadline, dst, request []byte) ([]byte, error) {
	x := e.client.states.get()
	defer e.client.states.put(x)
	frame, err := e.client.encode.Append(x.frame[:0], request)
	if err != nil {
		return dst, requestError(e.addr, err)
	}
	x.frame = frame
	if x.of.match != nil {
		x.number = e.client.states.next()
		ok := false
		if x.old, ok = x.of.match.Put(frame[len(frame)-len(request):], x.number); !ok {
			return dst, requestError(e.addr, pipeline.ErrNoNumber)
		}
	}
	wait := x.limited(ctx, limit)
	defer x.unlimited()
	held, err := e.pool.Get(wait)
	if err != nil {
		return dst, e.failed(e.addr, false, err)
	}
	x.held = held
	defer x.release()
	x.dst = dst
	if e.client.hooks.attempts != nil {
		x.notes = notesOf(ctx)
	}
	written, err := x.on(ctx, limit, held)
	if err != nil && !written && held.Reused() && diedIdle(err) && wait.Err() == nil {
		if failed := x.replace(wait); failed != nil {
			return dst, e.failed(e.addr, false, failed)
		}
		written, err = x.on(ctx, limit, held)
	}
	if err != nil {
		addr := e.addr
		if peer := held.RemoteAddr(); peer != nil {
			addr = peer.String()
		}
		e := e.failed(addr, written, err)
		e.safe = e.safe || x.left
		e.hint = x.hint(held, err)
		held.EvictFor(err)
		return dst, e
	}
	x.replied = true
	return x.reply, nil
}

// release ends the checkout. Without a reply something went wrong: a Matcher panicked,
// if nothing else, and the reply may still come.
func (x *callState) release() {
	if !x.replied {
		x.held.Evict()
	}
	_ = x.held.Close()
}

// noReply is what to check where a server closes a connection without any reply.
const noReply = "no reply on a new connection: if this is always so, check the address, TLS, the Format and Envelope of both sides"

// hint says what may be wrong on one of the two sides, if it looks so.
func (x *callState) hint(held *pool.Conn, err error) string {
	switch {
	case err == io.EOF && !held.Reused():
		return noReply
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return x.reader.Hint()
	}
	return ""
}

// limited returns the context of the wait for a connection.
func (x *callState) limited(ctx context.Context, limit *sharedDeadline) context.Context {
	switch {
	case limit == nil:
		return ctx
	case ctx == context.Background():
		return limit
	}
	if x.get == nil || x.of.kept {
		x.get = &getLimit{}
	}
	x.get.ioLimit = ioLimit{Context: ctx, limit: limit}
	return x.get
}

// unlimited ends that context.
func (x *callState) unlimited() {
	switch {
	case x.get == nil:
	case x.get.end() && !x.of.kept:
		x.get.ioLimit = ioLimit{}
	default:
		x.get = nil
	}
}

// on makes the exchange on a connection, and reports whether any of the request
// may have left the process.
func (x *callState) on(ctx context.Context, limit *sharedDeadline, held *pool.Conn) (written bool, err error) {
	before := held.BytesWritten()
	if limit != nil {
		if x.io == nil {
			x.io = &ioLimit{}
		}
		x.io.Context, x.io.limit = ctx, limit
		ctx = x.io
	}
	err = held.Do(ctx, x.perform)
	return held.BytesWritten() > before || err != nil && !retry.SafeToRetry(err), err
}

// replace dials a connection in place of one that had been closed while it was
// idle.
func (x *callState) replace(ctx context.Context) error {
	if x.notes == nil {
		return x.held.Replace(ctx)
	}
	begun := time.Now()
	err := x.held.Replace(ctx)
	if err == nil {
		x.notes.replaced(x.held, time.Since(begun))
	}
	return err
}

// do is the exchange itself, within the context that its connection obeys.
func (x *callState) do() error {
	if x.notes != nil {
		x.notes.written()
	}
	var err error
	if x.of.asks {
		_, err = x.held.Ask(x.frame)
	} else {
		_, err = x.held.Write(x.frame)
	}
	if err != nil {
		return err
	}
	x.reader.Reset(&x.held.Conn)
	if x.notes != nil {
		if err := x.reader.Wait(); err != nil {
			return err
		}
		x.notes.firstByte()
	}
	reply, err := x.reader.ReadFrame(x.dst)
	if err != nil {
		return err
	}
	x.reply = reply
	return x.check(reply[len(x.dst):])
}

// check tells whether a frame is the reply to the request.
func (x *callState) check(frame []byte) error {
	if x.of.goodbye != nil && bytes.Equal(frame, x.of.goodbye) {
		x.left = true
		return pipeline.ErrGoodbye
	}
	if x.of.wrapped && envelope.NoReply(frame) {
		return errNoReply // the reply may follow: the connection is not used again
	}
	if x.of.match == nil {
		return nil
	}
	if n, ok := x.of.match.Get(frame); !ok || n != x.number {
		return pipeline.ErrUnsolicited
	}
	x.of.match.Restore(frame, x.old)
	return nil
}
