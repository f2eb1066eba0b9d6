package pipeline

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
)

// Pipeline sends the requests of many callers over few connections. Its
// methods may be called from many goroutines. Make one with [New].
//
// If no call is in flight, a call first checks whether the peer has closed the
// connection. If so, it uses another connection. The check is a system call.
// So it is not made if the call before began less than 1 ms ago, or if the
// connection is not a socket. If the peer closes in that time, the next call
// fails with io.EOF, and Error.Written is true. The same happens if the peer
// closes while the request is on its way. So repeat a request after such an
// error if it is idempotent. gtcp.Client does that for calls that are declared
// idempotent.
type Pipeline struct {
	target  conn.Target // prepared
	format  framing.Format
	cfg     *Config // defaults filled in; shared with other pipelines
	hooks   *hooks  // never nil
	encode  framing.Encoder
	calls   callPool
	permits permits
	gate    *dialgate.Gate
	done    sync.WaitGroup // dials and connections
	ids     atomic.Uint64  // of connections
	clock   func() stamp
	often   time.Duration // see Config.often
	number  *Number       // cfg.Match, if it is one

	live atomic.Pointer[[]*sharedConn] // copied on write, under mu

	// mu guards what follows. A connection's mutex may be taken under it,
	// never the other way round.
	mu      sync.Mutex
	closed  bool               // no dial begins any more
	ended   bool               // and none may go on
	dialing *dial              // the one in progress, or nil
	cancel  context.CancelFunc // of its attempts, nil without
	lastErr error              // of the last failed dial, nil once a connection has brought a reply
	conns   []*sharedConn      // live, or ended and not yet accounted for
	total   counters           // of the connections accounted for
	ends    Ends

	dials, dialErrors uint64
	dialTime          time.Duration

	failures, refused, overloaded, timeouts atomic.Uint64 // calls, by outcome
}

// New returns a pipeline to the server of t, for frames of the format f. The
// first call dials. New fails if an argument is invalid. Close it to release
// its connections.
func New(t conn.Target, f framing.Format, c Config) (*Pipeline, error) {
	t, err := t.Prepare()
	if err != nil {
		return nil, err
	}
	if err := f.Writable(); err != nil {
		return nil, err
	}
	encode, err := framing.NewEncoder(f)
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Heartbeat.Interval > 0 {
		if _, err := encode.Append(nil, c.Heartbeat.Request); err != nil {
			return nil, &ConfigError{"Heartbeat", "has a Request that does not fit the format: " + err.Error(), err}
		}
	}
	hooks, err := newHooks(c.Hooks)
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	p := &Pipeline{
		target: t,
		format: f,
		cfg:    c.shared(),
		hooks:  &noHooks,
		encode: encode,
		clock:  now,
		often:  c.often(),
		gate:   dialgate.New(0, c.DialBackoff),
		permits: permits{
			limit:      c.permits(),
			timeout:    c.CallTimeout,
			maxWaiters: c.MaxWaiters,
			closing:    make(chan struct{}),
		},
	}
	if n, ok := c.Match.(Number); ok {
		p.number = &n
	}
	p.calls.New = makeCall
	p.permits.calls = &p.calls
	if len(c.Hooks) > 0 {
		p.hooks = &hooks
	}
	p.live.Store(new([]*sharedConn))
	return p, nil
}

// Call sends a request and returns its reply, in memory of its own. The
// request is not used after Call returns.
//
// When ctx ends first, Call returns at once with an error that is ctx's; the
// reply, if it comes, is dropped. If the request does not fit the format, the
// error is that of package framing. Every other error is an *[Error], which
// says whether it is safe to call again.
func (p *Pipeline) Call(ctx context.Context, request []byte) ([]byte, error) {
	return p.AppendCall(ctx, nil, request)
}

// AppendCall is Call that appends the reply to dst and returns the result; it
// allocates nothing where dst has room. With an error it returns dst as it
// was. dst must not be used until AppendCall returns.
func (p *Pipeline) AppendCall(ctx context.Context, dst, request []byte) ([]byte, error) {
	if p.hooks.calls != nil {
		return p.observed(ctx, dst, request)
	}
	return p.call(ctx, dst, request, nil)
}

// call carries a call through. event, if not nil, is filled in on the way.
func (p *Pipeline) call(ctx context.Context, dst, request []byte, event *CallEvent) ([]byte, error) {
	// A context of the user's own may panic: nothing has been taken yet here,
	// and all has been given back when it is asked for its error.
	done := ctx.Done()
	if ctx.Err() != nil {
		return dst, p.refusal(ended(ctx))
	}
	due := p.dueOf(ctx, done)
	if err := p.permits.enter(done, &due); err != nil {
		if err == ErrTooManyWaiters {
			p.refused.Add(1)
		}
		return dst, p.outcome(ctx, p.refusal(err))
	}
	reply, left, err := p.do(ctx, done, due, dst, request, event)
	p.permits.leave(!left)
	if err != nil {
		return dst, p.outcome(ctx, err)
	}
	return reply, nil
}

// outcome counts a call that has failed, and fills in why its context ended.
func (p *Pipeline) outcome(ctx context.Context, err error) error {
	e, ok := err.(*Error)
	switch {
	case ok && e.Err == ErrCallTimeout:
	case ok && e.Err == errGaveUp:
		e.Err = context.Canceled // should asking for it panic
		e.Err = ended(ctx)
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			return err
		}
	default:
		p.failures.Add(1)
		return err
	}
	p.timeouts.Add(1)
	return err
}

// do carries a call through. left is true if the caller has left it behind on
// a connection, which then gives its permit back.
func (p *Pipeline) do(ctx context.Context, done <-chan struct{}, due due, dst, request []byte, event *CallEvent) (reply []byte, left bool, err error) {
	for moved := 0; ; moved++ {
		s, err := p.pick(ctx, done, &due)
		if err != nil {
			return nil, false, err
		}
		if s.tooLate(ctx, due) {
			p.overloaded.Add(1)
			return nil, false, p.refusal(ErrOverloaded)
		}
		c, inline, write, err := s.submit(dst, request, due, event != nil)
		if err == errEnded {
			runtime.Gosched() // it is about to be taken out
			moved--
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if event != nil {
			event.accepted(s)
		}
		if inline {
			if reply, settled, err := s.inlineCall(ctx, done, c, write, event); settled {
				return reply, false, err
			}
		}
		if left, err = s.wait(done, c, event); left {
			return nil, true, err
		}
		reply, left, move := c.reply, c.left, moved < c.moves
		due = c.due
		if event != nil {
			event.timed(s, c)
		}
		p.calls.put(c)
		if !move {
			return reply, left, err
		}
	}
}

// refusal is the error of a call that no connection has accepted.
func (p *Pipeline) refusal(cause error) error {
	return &Error{Op: "wait", Addr: p.target.Address, Err: cause}
}

// Shutdown refuses new calls at once, with [ErrClosed], and waits for those in
// flight until ctx ends. Then it closes the connections: calls that are left
// fail, and Shutdown returns ctx's error. It returns when every connection is
// closed and no goroutine is left. Shutdown does not wait for callers that wait
// because MaxInFlight is reached, or for a dial: their calls fail. A later
// Shutdown also waits, and returns nil when all connections are closed.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.permits.close()
	err := p.permits.drain(ctx)
	p.mu.Lock()
	p.ended = true
	if p.cancel != nil {
		p.cancel()
	}
	all := slices.Clone(p.conns)
	p.mu.Unlock()
	for _, s := range all {
		s.fail(ErrClosed)
	}
	p.done.Wait()
	return err
}

// Close ends the pipeline at once: calls in flight fail with [ErrClosed]. It
// returns nil when every connection is closed and no goroutine is left. To wait
// for calls in flight, use [Pipeline.Shutdown]; Close after it does nothing.
func (p *Pipeline) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Shutdown(ctx)
	return nil
}
