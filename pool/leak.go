package pool

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// Leak is a connection that has been checked out for longer than
// Config.LeakAfter.
type Leak struct {
	// Addr is the address of the pool's target.
	Addr string
	// Since is when the connection was checked out.
	Since time.Time
	// Stack is the stack of the caller of Get: a function and a line of source
	// for each frame, innermost first.
	Stack string
}

// leakWatch reports a checkout that does not end.
type leakWatch struct {
	timer *time.Timer
	stack [32]uintptr
	depth int
}

// watchLeak begins to watch a checkout.
func (p *Pool) watchLeak() *leakWatch {
	w, now := &leakWatch{}, p.clock.now()
	w.depth = runtime.Callers(2, w.stack[:])
	w.timer = time.AfterFunc(p.cfg.LeakAfter, func() {
		if !p.tasks.begin() {
			return
		}
		defer p.tasks.end()
		contain.Log("Config.LeakReport of a pool", func() {
			p.cfg.LeakReport(Leak{Addr: p.target.Address, Since: p.clock.time(now), Stack: w.String()})
		})
	})
	return w
}

// String formats the stack, without this package's own part of it.
func (w *leakWatch) String() string {
	var b strings.Builder
	frames := runtime.CallersFrames(w.stack[:w.depth])
	for inside := true; ; {
		f, more := frames.Next()
		inside = inside && strings.HasPrefix(f.Function, packagePath)
		if !inside {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// packagePath begins the name of every function of this package.
const packagePath = "github.com/seed-99d6a01a/gtcp/pool.(*"
