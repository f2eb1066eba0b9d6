package pool

import (
	"context"
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// ProbeMode says who checks a connection that was idle, and when.
type ProbeMode uint8

const (
	// ProbeDefault is ProbeOnGet. In a gtcp.Client it means ProbeByCaller,
	// because each call of a Client begins with [conn.Conn.Ask].
	ProbeDefault ProbeMode = iota
	// ProbeOnGet checks a connection at Get. One that its peer has closed, or
	// that has unread bytes, is replaced within the same Get. A connection
	// that has moved bytes is also checked when it is released: a reply that
	// nobody has read closes it.
	ProbeOnGet
	// ProbeNever checks nothing at Get: Get may return a connection that the
	// peer has closed, whose next read returns io.EOF. Release checks as with
	// ProbeOnGet.
	ProbeNever
	// ProbeByCaller checks nothing, at Get or at release. The caller must
	// begin each checkout with [conn.Conn.Ask] or [conn.Conn.Check], and call
	// [Conn.Replace] if that fails. It saves the system call of the probe.
	ProbeByCaller
	probeModes
)

// defaultProbeTimeout is the Timeout of a zero Probe.
const defaultProbeTimeout = 5 * time.Second

// Probe says how connections are checked. Its zero value is one system call at
// each Get, which takes about half a microsecond.
type Probe struct {
	// Mode says who checks, and when.
	Mode ProbeMode
	// After is how long a connection must have been idle to be checked at Get.
	// Zero means always. If the connection is not a socket, or the system is
	// neither Unix nor Windows, a check takes 1 ms. On a system that is neither
	// Unix nor Windows, zero means 1 second. Negative is invalid; ProbeNever
	// switches probes off.
	After time.Duration
	// Func replaces [conn.Conn.Check] as the check, and is what KeepAlive
	// sends. It may do I/O. When ctx ends, the connection is closed, so that
	// I/O on it fails. An error evicts the connection, and so does a
	// connection that is not reusable afterwards. Nil means Check.
	Func func(ctx context.Context, c *conn.Conn) error
	// Timeout bounds each call of Func, beside the context of Get. Zero means
	// 5 seconds. Negative is invalid.
	Timeout time.Duration
}

func (p Probe) validate() error {
	looks := p.Mode == ProbeDefault || p.Mode == ProbeOnGet
	switch {
	case p.Mode >= probeModes:
		return &ConfigError{"Probe.Mode", "is none of the modes", nil}
	case !looks && p.After != 0:
		return &ConfigError{"Probe.After", "is set, and Mode checks nothing at Get", nil}
	}
	return nil
}

func (p Probe) withDefaults() Probe {
	if p.Mode == ProbeDefault {
		p.Mode = ProbeOnGet
	}
	if p.After == 0 && p.Func == nil {
		p.After = leastProbeAfter
	}
	if p.Timeout == 0 {
		p.Timeout = defaultProbeTimeout
	}
	return p
}

// check asks whether an idle connection is alive and silent. It is discarded if
// the user's probe panics.
func (p *Pool) check(ctx context.Context, m *Member, lease backend.Lease[*Member]) (Reason, error) {
	if p.cfg.Probe.Func == nil {
		return diagnose(m.handle.Load().Conn.Check())
	}
	done := false
	defer func() {
		if !done {
			m.evictAs(Dead, nil)
			_ = p.backend.Return(lease, backend.Discard)
		}
	}()
	why, err := p.probe(ctx, m)
	done = true
	return why, err
}

// probe calls the user's probe. The connection is closed when ctx ends, or the
// pool does, whatever the probe is doing.
func (p *Pool) probe(ctx context.Context, m *Member) (Reason, error) {
	if !p.tasks.begin() { // Close waits for what begins
		return Dead, ErrClosed
	}
	defer p.tasks.end()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Probe.Timeout)
	defer cancel()
	defer context.AfterFunc(p.ending.context(), cancel)()
	c := &m.handle.Load().Conn
	err := bounded(ctx, c, func() error { return p.cfg.Probe.Func(ctx, c) }, nil)
	if err == nil {
		err = c.Reusable()
	}
	return diagnose(err)
}

// bounded calls f and closes c if ctx ends meanwhile, and then calls cut, if it
// is not nil. The error is then ctx's too.
func bounded(ctx context.Context, c *conn.Conn, f func() error, cut func()) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = c.Close()
		if cut != nil {
			cut()
		}
	})
	ended := func() bool {
		if stop() {
			return false
		}
		<-closed
		return true
	}
	returned := false
	defer func() {
		if !returned { // f panics
			ended()
		}
	}()
	err := f()
	returned = true
	if ended() {
		return &conn.Error{Op: "do", Addr: c.RemoteAddr(), Err: contextError(ctx, err)}
	}
	return err
}

// diagnose turns the error of a check into a reason.
func diagnose(err error) (Reason, error) {
	switch {
	case err == nil:
		return kept, nil
	case errors.Is(err, conn.ErrUnread):
		return Dirty, err
	}
	return Dead, err
}
