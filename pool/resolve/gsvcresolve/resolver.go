package gsvcresolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gogf/gf/v2/net/gsvc"
	"github.com/gogf/gf/v2/util/gconv"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Resolver reports the endpoints of a service that a GoFrame registry knows. It
// searches when it starts, when the registry reports a change, when it is asked
// to, and from time to time, because a registry's watch can miss changes. The
// metadata "weight", "zone" and "priority" of a service are the endpoint's; all
// metadata are its Meta. Use a pointer to a Resolver, and do not change its
// fields once it is in use.
type Resolver struct {
	// Discovery is the registry. Nil means gsvc.GetRegistry().
	Discovery gsvc.Discovery
	// Search says which services: by Name, for example. Without a Prefix the
	// default one of the Name is used.
	Search gsvc.SearchInput
	// Interval is the longest time from one search to the next. Zero means 30
	// seconds; negative means to search only when there is a reason.
	Interval time.Duration
	// Timeout bounds one search. Zero means 5 seconds.
	Timeout time.Duration

	mu    sync.Mutex // guards asked
	asked []chan<- struct{}
}

// Error says what the registry could not do. It unwraps to its cause.
type Error struct {
	// Op is what failed: "search" or "watch".
	Op string
	// Service is the name or the prefix of the service.
	Service string
	// Err is the cause.
	Err error
}

// Error returns a line with the operation, the service and the cause.
func (e *Error) Error() string { return fmt.Sprintf("gsvcresolve: %s %s: %v", e.Op, e.Service, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the registry did not reply in time.
func (e *Error) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Temporary makes Error a net.Error. It is the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// Validate returns a *resolve.ConfigError that names the first field that cannot
// be used, or nil.
func (r *Resolver) Validate() error {
	switch {
	case r.Search.Name == "" && r.Search.Prefix == "":
		return &resolve.ConfigError{Field: "Resolver.Search", Problem: "has neither Name nor Prefix"}
	case r.Timeout < 0:
		return &resolve.ConfigError{Field: "Resolver.Timeout", Problem: "is negative"}
	case r.Discovery == nil && gsvc.GetRegistry() == nil:
		return &resolve.ConfigError{Field: "Resolver.Discovery", Problem: "is nil, and gsvc has no registry"}
	}
	return nil
}

// Refresh asks for a search soon, at most one in half a second.
func (r *Resolver) Refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.asked {
		poke(c)
	}
}

// poke tells a channel with room for one that there is something to do.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Watch reports the endpoints of the service.
func (r *Resolver) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	if err := r.Validate(); err != nil {
		return err
	}
	w := &watch{
		timeout: r.Timeout, interval: r.Interval, update: update, registry: r.Discovery, search: r.Search,
		changed: make(chan struct{}, 1), broken: make(chan error, 1),
	}
	if w.registry == nil {
		w.registry = gsvc.GetRegistry()
	}
	if w.search.Prefix == "" {
		w.search.Prefix = gsvc.NewServiceWithName(w.search.Name).GetPrefix()
	}
	if w.timeout == 0 {
		w.timeout = 5 * time.Second
	}
	if w.interval == 0 {
		w.interval = 30 * time.Second
	}
	r.mu.Lock()
	r.asked = append(r.asked, w.changed)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = slices.DeleteFunc(r.asked, func(c chan<- struct{}) bool { return c == w.changed })
	}()
	return w.run(ctx)
}

const (
	leastPause = 500 * time.Millisecond // between searches
	mostPause  = 5 * time.Second        // after failures
)

// watch is the state of one Watch.
type watch struct {
	registry gsvc.Discovery
	search   gsvc.SearchInput
	interval time.Duration
	timeout  time.Duration
	update   func([]resolve.Endpoint, error)

	changed chan struct{} // has room for one: there is a reason to search
	broken  chan error    // has room for one: the watcher has ended

	known    []resolve.Endpoint
	reported bool // known has been reported, and no error since
}

// run watches before it searches, so that no change falls between the two.
func (w *watch) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	watching := false
	for pause := leastPause; ; {
		var err error
		if !watching {
			var watcher gsvc.Watcher
			if watcher, err = w.registry.Watch(ctx, w.search.Prefix); err == nil {
				watching = true
				following.Go(func() { w.follow(ctx, watcher) })
			}
		}
		if failure := w.look(ctx); failure != nil || err == nil {
			err = failure
		} else {
			err = &Error{"watch", w.search.Prefix, err}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		next := w.interval
		if err != nil {
			w.reported = false
			w.update(nil, err)
			next, pause = pause, min(2*pause, mostPause)
		} else {
			pause = leastPause
		}
		begun := time.Now()
		select {
		case <-after(next):
		case <-w.changed:
		case <-w.broken:
			watching = false
		case <-ctx.Done():
			return ctx.Err()
		}
		if !sleep(ctx, time.Until(begun.Add(w.rest(err)))) {
			return ctx.Err()
		}
	}
}

// rest is the least time to the next look. A change is looked at almost at once,
// with some time for others that come with it.
func (w *watch) rest(err error) time.Duration {
	if err != nil {
		return leastPause
	}
	return 20 * time.Millisecond
}

// after is time.After, but never for what is not positive.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// follow passes on that something has changed, until the watcher or ctx ends. A
// watcher may return at once for ever when its connection is lost, so it is not
// asked more often than ten times a second.
func (w *watch) follow(ctx context.Context, watcher gsvc.Watcher) {
	stop := context.AfterFunc(ctx, func() { _ = watcher.Close() })
	for {
		begun := time.Now()
		_, err := watcher.Proceed()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if stop() {
				_ = watcher.Close()
			}
			w.broken <- err
			return
		}
		poke(w.changed)
		if !sleep(ctx, time.Until(begun.Add(100*time.Millisecond))) {
			return
		}
	}
}

// look searches, and reports the set if it is another one.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	services, err := w.registry.Search(ctx, w.search)
	if err != nil {
		return &Error{"search", w.search.Prefix, err}
	}
	var set []resolve.Endpoint
	for _, s := range services {
		if s != nil {
			set = append(set, endpoints(s)...)
		}
	}
	set = resolve.Normalize(set)
	if !w.reported || !slices.EqualFunc(set, w.known, resolve.Endpoint.Equal) {
		w.known, w.reported = set, true
		w.update(set, nil)
	}
	return nil
}

// endpoints returns those of a service.
func endpoints(s gsvc.Service) (set []resolve.Endpoint) {
	meta := make(map[string]string, len(s.GetMetadata()))
	for _, k := range slices.Sorted(maps.Keys(s.GetMetadata())) {
		meta[k] = gconv.String(s.GetMetadata()[k])
	}
	for _, e := range s.GetEndpoints() {
		set = append(set, resolve.Endpoint{
			Addr:     net.JoinHostPort(e.Host(), strconv.Itoa(e.Port())),
			Weight:   uint32(min(max(gconv.Int64(meta[gsvc.MDWeight]), 0), math.MaxUint32)),
			Zone:     meta["zone"],
			Priority: gconv.Int(meta["priority"]),
			Meta:     meta,
		})
	}
	return set
}

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
