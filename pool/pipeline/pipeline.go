package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Pipeline sends the requests of many callers over few connections. Its
// methods are safe for concurrent use. Make one with [New].
type Pipeline struct {
	cfg     Config // defaults filled in
	hooks   hooks
	permits chan struct{} // one per request in flight
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup // dials and links

	// callers counts those inside AppendCall. Close sets closed, then waits
	// for the last of them, who sends on idle.
	callers atomic.Int64
	waiting atomic.Int64
	closed  atomic.Bool
	closing chan struct{} // closed with closed
	idle    chan struct{} // capacity 1

	live atomic.Pointer[[]*link] // copied on write, under mu

	// mu guards what follows. A link's mutex may be taken under it, never the
	// other way round.
	mu       sync.Mutex
	dialing  *dial // the one under way, or nil
	failures int   // in a row
	retryAt  time.Time
	lastErr  error              // of the last failure, nil after a success
	links    map[*link]struct{} // live, or ended and not yet accounted for
	total    counters           // of the links accounted for
	ended    Stat               // only what those and the dials add up to
}

// New checks the configuration and returns a pipeline, which dials when first
// called. Close it to release its connections.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Pipeline{
		cfg:     cfg,
		hooks:   newHooks(cfg.Hook),
		permits: make(chan struct{}, cfg.MaxInFlight),
		links:   make(map[*link]struct{}),
		closing: make(chan struct{}),
		idle:    make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.live.Store(new([]*link))
	return p, nil
}

// Call sends a request and returns its reply, in memory of its own. The
// request is not used after Call returns.
//
// When ctx ends first, Call returns at once with an error that is ctx's; the
// reply, if it comes, is dropped. Every error but the format's own, for a
// request that does not fit it, is an [*Error], which says whether it is safe
// to call again.
func (p *Pipeline) Call(ctx context.Context, request []byte) ([]byte, error) {
	return p.AppendCall(ctx, nil, request)
}

// AppendCall is Call that appends the reply to dst and returns the result; it
// allocates nothing where dst has room. With an error it returns dst as it
// was. dst must not be used until AppendCall returns.
func (p *Pipeline) AppendCall(ctx context.Context, dst, request []byte) ([]byte, error) {
	if p.hooks.call != nil {
		start := time.Now()
		reply, err := p.call(ctx, dst, request)
		p.hooks.call.AfterCall(time.Since(start), err)
		return reply, err
	}
	return p.call(ctx, dst, request)
}

func (p *Pipeline) call(ctx context.Context, dst, request []byte) ([]byte, error) {
	p.callers.Add(1)
	defer p.exit()
	if err := p.acquire(ctx); err != nil {
		return dst, err
	}
	c := newCall(dst)
	settled, err := p.do(ctx, c, request)
	if !settled {
		return dst, err // c and the permit are the link's now
	}
	if err == nil {
		dst = c.resp
	}
	c.recycle()
	p.release()
	return dst, err
}

// do carries c through. settled is false if the caller has left it behind, on
// a link, to be recycled there.
func (p *Pipeline) do(ctx context.Context, c *call, request []byte) (settled bool, err error) {
	for moved := false; ; {
		l, err := p.link(ctx)
		if err != nil {
			return true, err
		}
		lead, err := l.submit(c, request)
		if err == errEnded {
			continue
		}
		if err != nil {
			return true, err
		}
		if lead {
			l.lead(ctx)
		}
		settled, err = l.wait(ctx, c)
		if !settled || !c.move || moved {
			return settled, err
		}
		moved, c.move, c.err = true, false, nil
	}
}

// acquire takes a permit, waiting for one if need be.
func (p *Pipeline) acquire(ctx context.Context) error {
	if p.closed.Load() {
		return p.refusal(ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return p.refusal(err)
	}
	select {
	case p.permits <- struct{}{}:
		return nil
	default:
	}
	n := p.waiting.Add(1)
	defer p.waiting.Add(-1)
	if limit := p.cfg.MaxWaiters; limit != 0 && n > int64(limit) {
		return p.refusal(ErrTooManyWaiters)
	}
	select {
	case p.permits <- struct{}{}:
		return nil
	case <-ctx.Done():
		return p.refusal(ctx.Err())
	case <-p.closing:
		return p.refusal(ErrClosed)
	}
}

func (p *Pipeline) release() { <-p.permits }

// refusal is the error of a call that no link has accepted.
func (p *Pipeline) refusal(cause error) error {
	return &Error{Op: "wait", Addr: p.cfg.Address, Err: cause}
}

// exit counts a caller out.
func (p *Pipeline) exit() {
	if p.callers.Add(-1) == 0 && p.closed.Load() {
		wake(p.idle)
	}
}

// Close refuses new calls at once, with [ErrClosed], and waits for those in
// flight until ctx ends; the ones left then fail, and Close returns ctx's
// error. It returns when every connection is closed and no goroutine is left.
// Callers that wait for a permit or a dial are refused, not waited for. Later
// calls of Close wait likewise, and return nil once all is closed.
func (p *Pipeline) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed.Swap(true) {
		close(p.closing)
	}
	p.mu.Unlock()

	var err error
	for err == nil && p.callers.Load() > 0 {
		select {
		case <-p.idle:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	wake(p.idle) // for a concurrent Close
	p.cancel()
	for _, l := range *p.live.Load() {
		l.fail(ErrClosed)
	}
	p.done.Wait()
	return err
}
