package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
	"github.com/seed-99d6a01a/gtcp/internal/signal"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Pool keeps connections to one address and gives them to callers. All its
// methods may be called from several goroutines.
type Pool struct {
	target      conn.Target
	cfg         *Config // defaults filled in; shared with other pools
	backend     backend.Backend[*Member]
	lateBinding bool   // the backend is a LateBinder
	hooks       *hooks // never nil
	stamps      bool   // note exactly when a connection is released

	clock      clock
	ids        atomic.Uint64 // of connections
	generation atomic.Uint64 // of Clear; the backend counts its own
	distrusted atomic.Int64  // connections idle since before are not trusted
	unwanted   atomic.Bool   // EvictConn was called
	closed     atomic.Bool
	ending     ending // begins with Shutdown or Close

	gate      *dialgate.Gate
	suspended signal.Signal // for dials that wait until dialing goes on
	admission admission
	reaper    reaper
	minIdle   minIdle
	keepAlive keepAlive
	tasks     tasks
	roster    roster

	evicted             atomic.Pointer[[reasons]atomic.Uint64] // nil before the first
	dials, dialErrors   atomic.Uint64
	dialTime            atomic.Int64
	timeouts, cancelled atomic.Uint64
	failed, overloaded  atomic.Uint64
}

// New makes a pool of connections to t. It dials nothing itself; connections
// for Config.MinIdle are made in the background. It fails with a
// [*conn.ConfigError] for t, a [*ConfigError] for c, or the error of a backend
// that cannot do what is asked.
func New(t conn.Target, c Config) (*Pool, error) {
	t, err := t.Prepare()
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	p := &Pool{target: t, cfg: c.shared(), hooks: &noHooks}
	if len(c.Hooks) > 0 {
		p.hooks = new(hooks)
	}
	for _, h := range c.Hooks {
		p.hooks.add(h)
	}
	p.stamps = c.MaxIdleTime > 0 || c.KeepAlive > 0 || c.Probe.After > 0 || p.hooks.gets != nil
	p.clock.init()
	p.gate = dialgate.New(c.MaxDialing, c.DialBackoff)
	p.reaper.init(p)
	limits := backend.Limits{Max: c.MaxConns, MaxWaiters: c.MaxWaiters, DialTimeout: c.DialTimeout}
	if !c.StrictFIFO {
		limits.Queue = &p.admission
	}
	b, err := c.Backend(backend.Factory[*Member]{New: p.newMember, Close: (*Member).close}, limits)
	if err != nil {
		return nil, err
	}
	p.backend = b
	_, p.lateBinding = b.(backend.LateBinder)
	if c.MinIdle > 0 {
		p.minIdle.start(p)
	}
	if c.KeepAlive > 0 {
		p.keepAlive.start(p)
	}
	return p, nil
}

// Clear closes the connections that are idle now, and those that are checked
// out when they are released. The contexts of dials in progress are cancelled.
// Waiters get new connections. Call it when you know that all connections are
// useless.
func (p *Pool) Clear() {
	p.generation.Add(1)
	p.backend.Clear()
}

// Resize changes Config.MaxConns. max has the meaning of that field, except
// that zero is invalid. Connections beyond a smaller max are closed: idle ones
// at once, others when they are released. Dials beyond it are given up, the
// newest first, and their callers wait on. Resize fails with an error that is
// [errors.ErrUnsupported] if the backend cannot change its maximum, and with a
// [*ConfigError] if Config.MinIdle is more than max.
func (p *Pool) Resize(max int) error {
	r, ok := p.backend.(backend.Resizer)
	switch {
	case max == 0:
		return &ConfigError{"MaxConns", "cannot be resized to zero", nil}
	case max > 0 && p.cfg.MinIdle > max:
		return &ConfigError{"MinIdle", "is larger than MaxConns", nil}
	case !ok:
		return p.fail("resize", errors.ErrUnsupported)
	}
	if err := r.Resize(max); err != nil {
		return p.fail("resize", err)
	}
	p.minIdle.poke() // there may be room now
	return nil
}

// Shutdown ends the pool and waits for its callers. Waiters get ErrClosed at
// once and idle connections are closed. Connections that are checked out are
// closed when they are released, and Shutdown waits for that. If ctx ends
// first, they are closed at once, and I/O on them fails with net.ErrClosed; the
// error is then an [*Error] that is ctx's. When Shutdown returns, no connection
// is open and no goroutine of the pool is left. It may be called more than
// once: each call waits.
//
// It must not be called from a hook.
func (p *Pool) Shutdown(ctx context.Context) error {
	if err := p.shut(ctx); err != nil {
		return p.fail("shutdown", err)
	}
	return nil
}

// Close ends the pool at once. It is Shutdown with a context that has ended.
// It returns nil, or an *[Error] if a hook panicked while a connection was
// closed. It may be called more than once.
//
// It must not be called from a hook.
func (p *Pool) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err := p.shut(ended)
	var panicked *backend.PanicError
	if errors.As(err, &panicked) {
		return p.fail("close", panicked)
	}
	return nil
}

func (p *Pool) shut(ctx context.Context) error {
	p.closed.Store(true)
	p.ending.begin()
	p.reaper.stop()
	p.minIdle.stop()
	p.keepAlive.wait()
	err := p.backend.Close(ctx)
	p.tasks.stop() // a Replace in progress ends soon: its context has
	return err
}

// fail makes an error that shows the pool's state.
func (p *Pool) fail(op string, err error) *Error {
	s := p.backend.Stat()
	return &Error{
		Op: op, Addr: p.target.Address, Err: err, LastDialError: p.gate.LastError(),
		MaxConns: s.Max, Open: s.Open(), Idle: s.Idle, Dialing: s.Dialing, Waiting: s.Waiting,
	}
}

// getFailed counts a failed Get and makes its error.
func (p *Pool) getFailed(err error) error {
	// A connection that was meant for a caller who gave up has become idle
	// unseen: a sweep a little later finds it and keeps its times.
	p.reaper.look()
	p.minIdle.poke() // a dial that has failed has left room
	e := p.fail("get", err)
	switch {
	case errors.Is(err, ErrTooManyWaiters): // the backend counts these
	case errors.Is(err, ErrOverloaded):
		p.overloaded.Add(1)
		p.admission.missed(time.Now())
	case errors.Is(err, context.Canceled):
		p.cancelled.Add(1)
	case e.Timeout():
		p.timeouts.Add(1)
		p.admission.missed(time.Now())
	default:
		p.failed.Add(1)
	}
	return e
}
