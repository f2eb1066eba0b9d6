package pipeline_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/stretchr/testify/require"
)

// bg is the context of calls that nothing is to end.
var bg = context.Background()

// bubble is a pipeline in front of a peer that a test plays by hand, in a
// synctest bubble.
type bubble struct {
	*testing.T
	*pipeline.Pipeline
	name   string // Target.Address
	format framing.Format
	net    *memnet.Listener
	pipes  chan net.Conn
	peer   *peer // for a test to keep
}

func inBubble(t *testing.T, cfg pipeline.Config, f func(b *bubble)) { setup{cfg: cfg}.run(t, f) }

// inBubbleDialing is inBubble with a dial of the test's own to the peer.
func inBubbleDialing(t *testing.T, cfg pipeline.Config,
	dial func(context.Context, *memnet.Listener) (net.Conn, error), f func(b *bubble)) {
	setup{cfg: cfg, dial: dial}.run(t, f)
}

// setup is what a bubble's pipeline is made of.
type setup struct {
	name   string // Target.Address
	format framing.Format
	cfg    pipeline.Config
	dial   func(context.Context, *memnet.Listener) (net.Conn, error) // nil: to the peer
}

func (s setup) run(t *testing.T, f func(b *bubble)) {
	if s.dial == nil {
		s.dial = func(ctx context.Context, l *memnet.Listener) (net.Conn, error) { return l.Dial(ctx) }
	}
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("peer")
		defer l.Close()
		b := &bubble{T: t, name: s.name, format: s.format, net: l}
		b.run(func(ctx context.Context) (net.Conn, error) { return s.dial(ctx, l) }, s.cfg, f)
	})
}

// noPeer is a dial of the test's own that does without the peer.
func noPeer(dial func(context.Context) (net.Conn, error)) func(context.Context, *memnet.Listener) (net.Conn, error) {
	return func(ctx context.Context, _ *memnet.Listener) (net.Conn, error) { return dial(ctx) }
}

// inNarrowBubble is inBubble with connections on which a write blocks after
// size bytes that the peer has not read.
func inNarrowBubble(t *testing.T, size int, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 16)}
		b.run(b.narrow(size), pipeline.Config{}, f)
	})
}

// narrow is a dial that makes such connections.
func (b *bubble) narrow(size int) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		here, there := memnet.PipeSize(size)
		b.Cleanup(func() { _ = there.Close() })
		b.pipes <- there
		return here, nil
	}
}

func (b *bubble) run(dial func(context.Context) (net.Conn, error), cfg pipeline.Config, f func(b *bubble)) {
	p, err := pipeline.New(conn.Target{Address: b.name, Dial: dial}, b.format, cfg)
	require.NoError(b, err)
	defer func() { _ = p.Close() }()
	b.Pipeline = p
	f(b)
	require.NoError(b, p.Shutdown(bg))
	require.Zero(b, p.Stat().Open)
	require.Zero(b, p.Stat().InFlight)
}

// call begins a call and returns where its outcome will be.
func (b *bubble) call(ctx context.Context, request string) *outcome {
	o := &outcome{T: b.T, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		var reply []byte
		reply, o.err = b.Call(ctx, []byte(request))
		o.reply, o.ended = string(reply), time.Now()
	}()
	synctest.Wait()
	return o
}

// exchange has a call replied to, over a new connection, whose peer it returns.
func (b *bubble) exchange() *peer {
	b.Helper()
	o := b.call(bg, "request")
	p := b.accept()
	p.asked("request")
	p.reply("reply")
	o.replied("reply")
	return p
}

// accept returns the other end of the next connection.
func (b *bubble) accept() *peer {
	var nc net.Conn
	if b.pipes != nil {
		nc = <-b.pipes
	} else {
		var err error
		nc, err = b.net.Accept()
		require.NoError(b, err)
		b.Cleanup(func() { _ = nc.Close() })
	}
	return &peer{b.T, nc, framing.NewReader(nc, framing.Format{})}
}

type outcome struct {
	*testing.T
	done  chan struct{}
	reply string
	err   error
	ended time.Time
}

func (o *outcome) replied(want string) {
	o.Helper()
	<-o.done
	require.NoError(o, o.err)
	require.Equal(o, want, o.reply)
}

// failed requires the call to have failed, and to say rightly whether any of
// it was written.
func (o *outcome) failed(cause error, written bool) {
	o.Helper()
	<-o.done
	require.ErrorIs(o, o.err, cause)
	var e *pipeline.Error
	require.ErrorAs(o, o.err, &e)
	require.Equal(o, written, e.Written)
	if cause != pipeline.ErrClosed {
		require.Equal(o, !written, e.SafeToRetry())
	}
}

// fails requires the call to have failed for the cause.
func (o *outcome) fails(cause error) {
	o.Helper()
	<-o.done
	require.ErrorIs(o, o.err, cause)
}

func (o *outcome) pending() {
	o.Helper()
	synctest.Wait()
	select {
	case <-o.done:
		require.Fail(o, "call has ended", "%q, %v", o.reply, o.err)
	default:
	}
}

// peer is the server's end of a connection.
type peer struct {
	*testing.T
	net.Conn
	frames *framing.Reader
}

func (p *peer) asked(want string) {
	p.Helper()
	got, err := p.frames.Next()
	require.NoError(p, err)
	require.Equal(p, want, string(got))
}

func (p *peer) reply(replies ...string) {
	p.Helper()
	var b []byte
	for _, r := range replies {
		b, _ = framing.Format{}.Append(b, []byte(r))
	}
	p.raw(b)
}

func (p *peer) raw(b []byte) {
	p.Helper()
	_, err := p.Write(b)
	require.NoError(p, err)
	synctest.Wait()
}

// quiet lets time pass until the pipeline watches its idle connections.
func quiet() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// serve serves on a real socket, and returns its address.
func serve(t testing.TB, h server.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveOn(t, l, h)
	return l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, h server.Handler) {
	srv := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

func echo(format framing.Format) server.Handler {
	return server.Frames(format, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
}

// open returns a pipeline to a TCP address that the test's end closes.
func open(t testing.TB, addr string, cfg pipeline.Config) *pipeline.Pipeline {
	return openTo(t, conn.Target{Address: addr}, framing.Format{}, cfg)
}

func openTo(t testing.TB, target conn.Target, f framing.Format, cfg pipeline.Config) *pipeline.Pipeline {
	if cfg.StallTimeout == 0 {
		cfg.StallTimeout = -1 // a busy machine is not a silent peer
	}
	p, err := pipeline.New(target, f, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Shutdown(bg)) })
	return p
}
