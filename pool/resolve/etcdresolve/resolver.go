package etcdresolve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Resolver reports the servers registered below a prefix. It reads all keys,
// then watches for changes; after a compaction, a lost watch, Refresh, and from
// time to time it reads all of them again. A value that Parse refuses is left
// out. Use a pointer to a Resolver, and do not change its fields once it is in
// use.
type Resolver struct {
	// Client is the connection to etcd. The caller closes it, after the last
	// Watch has returned. Set its DialKeepAliveTime, to 5 seconds for example,
	// so that it detects an etcd that is no longer reachable.
	Client *clientv3.Client
	// Prefix is the part of the keys that the service's servers share:
	// "/services/orders/". A missing "/" at the end is added, so that
	// "/services/orders" does not find "/services/orders-test/x".
	Prefix string
	// Interval is the time from one reading of all keys to the next, which
	// finds what a watch has missed: a restored backup, for example. Zero
	// means 30 seconds; negative means to read only when there is a reason.
	Interval time.Duration
	// Timeout bounds one reading. Zero means 3 seconds.
	Timeout time.Duration
	// Parse makes an endpoint of a key, without the prefix, and its value.
	// Nil means ParseValue.
	Parse func(name string, value []byte) (resolve.Endpoint, error)

	asked signal.Signal
}

// Error is the error of a request to etcd. It unwraps to its cause.
type Error struct {
	// Op is what failed: "read", "watch", "register" or "deregister".
	Op string
	// Key is the key or the prefix.
	Key string
	// Err is the cause.
	Err error
}

// Error returns a line with the operation, the key and the cause.
func (e *Error) Error() string { return fmt.Sprintf("etcdresolve: %s %s: %v", e.Op, e.Key, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether etcd did not reply in time.
func (e *Error) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Temporary makes Error a net.Error. It is the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// ParseValue makes an endpoint of a value: of an object the JSON fields of
// resolve.Endpoint, otherwise the address itself.
func ParseValue(_ string, value []byte) (resolve.Endpoint, error) {
	text := strings.TrimSpace(string(value))
	var e resolve.Endpoint
	if strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return e, err
		}
	} else {
		e.Addr = text
	}
	if e.Addr == "" {
		return e, errors.New("no addr")
	}
	return e, nil
}

// Validate returns a *resolve.ConfigError that names the first field that cannot
// be used, or nil.
func (r *Resolver) Validate() error {
	switch {
	case r.Client == nil:
		return &resolve.ConfigError{Field: "Resolver.Client", Problem: "is nil"}
	case strings.Trim(r.Prefix, "/") == "":
		return &resolve.ConfigError{Field: "Resolver.Prefix", Problem: "is empty"}
	case r.Timeout < 0:
		return &resolve.ConfigError{Field: "Resolver.Timeout", Problem: "is negative"}
	}
	return nil
}

// Refresh asks for a reading soon, at most one in half a second.
func (r *Resolver) Refresh() { r.asked.Send() }

// Watch reports the servers below the prefix.
func (r *Resolver) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	if err := r.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		stayConnected(ctx, r.Client)
	}()
	defer func() { cancel(); <-connected }()

	w := watch{Resolver: r, prefix: prefixed(r.Prefix), update: update}
	for pause := firstPause; ; {
		err := w.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			pause = firstPause
		} else {
			update(nil, err)
			pause = min(2*pause, lastPause)
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	leastRead  = 500 * time.Millisecond // between two readings that are asked for
)

// prefixed ends a prefix with "/".
func prefixed(prefix string) string { return strings.TrimSuffix(prefix, "/") + "/" }

// watch is the state of one Watch.
type watch struct {
	*Resolver
	prefix string
	update func([]resolve.Endpoint, error)
	known  map[string]resolve.Endpoint // by key
}

// round reads all keys and follows their changes, until there is a reason to
// read them again. Its error says that something is wrong.
func (w *watch) round(ctx context.Context) error {
	again := w.asked.Next()
	begun := time.Now()
	revision, err := w.read(ctx)
	if err != nil {
		return err
	}
	// A member of etcd that has lost the others ends the watch.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := w.Client.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1))

	var due <-chan time.Time
	if interval := w.interval(); interval > 0 {
		timer := time.NewTimer(interval)
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case c, open := <-changes:
			if !open {
				return ctx.Err() // nil: read again
			}
			if err := c.Err(); err != nil {
				if c.CompactRevision > 0 {
					return nil // the changes since are gone: read again
				}
				return &Error{"watch", w.prefix, err}
			}
			w.apply(c.Events)
		case <-due:
			return nil
		case <-again:
			if !sleep(ctx, time.Until(begun.Add(leastRead))) {
				return ctx.Err()
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Resolver) interval() time.Duration {
	if r.Interval == 0 {
		return 30 * time.Second
	}
	return r.Interval
}

// read reports all keys and returns the revision they are of.
func (w *watch) read(ctx context.Context) (revision int64, err error) {
	timeout := w.Timeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := w.Client.Get(ctx, w.prefix, clientv3.WithPrefix())
	if err != nil {
		return 0, &Error{"read", w.prefix, err}
	}
	w.known = map[string]resolve.Endpoint{}
	for _, kv := range got.Kvs {
		w.put(string(kv.Key), kv.Value)
	}
	w.report()
	return got.Header.Revision, nil
}

// apply takes changes and reports the set that they make.
func (w *watch) apply(events []*clientv3.Event) {
	if len(events) == 0 {
		return // only a sign of life
	}
	for _, e := range events {
		if e.Type == clientv3.EventTypeDelete {
			delete(w.known, string(e.Kv.Key))
		} else {
			w.put(string(e.Kv.Key), e.Kv.Value)
		}
	}
	w.report()
}

func (w *watch) put(key string, value []byte) {
	parse := w.Parse
	if parse == nil {
		parse = ParseValue
	}
	e, err := parse(strings.TrimPrefix(key, w.prefix), value)
	if err != nil {
		delete(w.known, key)
		return
	}
	w.known[key] = e
}

func (w *watch) report() {
	set := make([]resolve.Endpoint, 0, len(w.known))
	for _, e := range w.known {
		set = append(set, e)
	}
	w.update(resolve.Normalize(set), nil)
}

// stayConnected makes the client try again soon while etcd cannot be reached:
// gRPC alone would wait up to two minutes between attempts.
func stayConnected(ctx context.Context, client *clientv3.Client) {
	for sleep(ctx, 250*time.Millisecond) {
		if c := client.ActiveConnection(); c.GetState() == connectivity.TransientFailure {
			c.ResetConnectBackoff()
		}
	}
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
