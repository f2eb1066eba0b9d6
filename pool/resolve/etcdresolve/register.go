package etcdresolve

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// Registration keeps one server registered. Make one with [Register].
type Registration struct {
	client *clientv3.Client
	key    string
	value  string
	ttl    time.Duration

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	first  chan struct{} // closed when registered for the first time

	mu    sync.Mutex // guards lease and err
	lease clientv3.LeaseID
	err   error // of the last attempt, nil while registered
}

// Register registers a server below a prefix, under the key prefix/addr, and
// keeps it registered until Deregister, also after an outage of etcd. It returns at
// once; [Registration.Wait] waits until the server is registered. When the
// process dies, the server vanishes from etcd within ttl. Zero means 10 seconds;
// less than 2 seconds means 2 seconds.
func Register(client *clientv3.Client, prefix string, e resolve.Endpoint, ttl time.Duration) (*Registration, error) {
	if err := (&Resolver{Client: client, Prefix: prefix}).Validate(); err != nil {
		return nil, err
	}
	if e.Addr == "" {
		return nil, &resolve.ConfigError{Field: "Endpoint.Addr", Problem: "is empty"}
	}
	value, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registration{
		client: client, key: prefixed(prefix) + e.String(), value: string(value), ttl: max(ttl, 2*time.Second),
		cancel: cancel, done: make(chan struct{}), first: make(chan struct{}),
	}
	go r.run(ctx)
	return r, nil
}

// Wait waits until the server is registered for the first time. When ctx ends
// before, it returns an error that says why the last attempt failed.
func (r *Registration) Wait(ctx context.Context) error {
	select {
	case <-r.first:
		return nil
	case <-r.done:
		select {
		case <-r.first:
			return nil
		default:
		}
		return &Error{"register", r.key, context.Canceled}
	case <-ctx.Done():
		if err := r.Err(); err != nil {
			return err
		}
		return &Error{"register", r.key, ctx.Err()}
	}
}

// Err returns why the server is not registered now, or nil if it is or has not
// been tried yet.
func (r *Registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Deregister removes the server from etcd, so that clients send it no new calls,
// and ends the registration. If etcd cannot be reached until ctx ends, the key
// stays until its time to live is over. A second Deregister does nothing.
func (r *Registration) Deregister(ctx context.Context) error {
	r.cancel()
	<-r.done
	r.mu.Lock()
	lease := r.lease
	r.lease, r.err = 0, nil
	r.mu.Unlock()
	if lease == 0 {
		return nil
	}
	if _, err := r.client.Revoke(ctx, lease); err != nil { // which deletes the key
		return &Error{"deregister", r.key, err}
	}
	return nil
}

// run registers, and again whenever the lease is lost.
func (r *Registration) run(ctx context.Context) {
	defer close(r.done)
	var connected sync.WaitGroup
	defer connected.Wait()
	connected.Go(func() { stayConnected(ctx, r.client) })
	for pause := firstPause; ctx.Err() == nil; {
		alive, err := r.register(ctx)
		r.note(err)
		if err == nil {
			pause = firstPause
			for range alive { // until the lease is lost or ctx ends
			}
		} else {
			pause = min(2*pause, lastPause)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// register writes the key under a new lease and begins to keep the lease alive.
func (r *Registration) register(ctx context.Context) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	granted, err := r.client.Grant(short, int64((r.ttl+time.Second-1)/time.Second))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.lease = granted.ID // to be revoked, whatever becomes of the rest
	r.mu.Unlock()
	if _, err := r.client.Put(short, r.key, r.value, clientv3.WithLease(granted.ID)); err != nil {
		return nil, err
	}
	return r.client.KeepAlive(ctx, granted.ID)
}

func (r *Registration) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = nil; err != nil {
		r.err = &Error{"register", r.key, err}
		return
	}
	select {
	case <-r.first:
	default:
		close(r.first)
	}
}
