package etcdresolve_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/resolve/etcdresolve"
)

func register(t *testing.T, c *clientv3.Client, addr string, ttl time.Duration) *etcdresolve.Registration {
	t.Helper()
	r, err := etcdresolve.Register(c, prefix, resolve.Endpoint{Addr: addr, Zone: "z"}, ttl)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.Deregister(ctx)
	})
	return r
}

func TestRegister(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix})
	r := register(t, c, "a:1", 0)
	require.NoError(t, r.Wait(t.Context()))
	require.NoError(t, r.Err())
	w.becomes(t, "a:1z")
	require.NoError(t, r.Deregister(t.Context()))
	require.NoError(t, r.Deregister(t.Context()))
	require.NoError(t, r.Wait(t.Context()), "it has been registered once")
	w.becomes(t)
}

// The lease ends although the process lives: it was too long without etcd.
func TestRegisterAgainAfterAnExpiredLease(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix})
	r := register(t, c, "a:1", 2*time.Second)
	require.NoError(t, r.Wait(t.Context()))
	leases, err := c.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, leases.Leases, 1)
	_, err = c.Revoke(t.Context(), leases.Leases[0].ID)
	require.NoError(t, err)
	w.becomes(t)
	w.becomes(t, "a:1z")
}

// A process that dies takes its key with it.
func TestLeaseOfADeadProcessExpires(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix})
	own := e.client()
	r := register(t, own, "a:1", 2*time.Second)
	w.becomes(t, "a:1z")
	require.NoError(t, own.Close()) // nothing of it reaches etcd any more
	w.becomes(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, r.Deregister(ctx))
}

func TestRegisterWhileEtcdIsDown(t *testing.T) {
	e := newEtcd(t)
	e.kill()
	c := e.client()
	r := register(t, c, "a:1", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var failure *etcdresolve.Error
	require.ErrorAs(t, r.Wait(ctx), &failure)
	require.Equal(t, "register", failure.Op)
	e.start()
	require.NoError(t, r.Wait(t.Context()))
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix})
	w.becomes(t, "a:1z")
}

// fake is a server of which the test sees the order of things.
type fake struct {
	stop chan struct{}
	w    *watched
	seen chan []string
}

func (f *fake) Serve(net.Listener) error { <-f.stop; return errors.New("closed") }

func (f *fake) Shutdown(context.Context) error {
	f.seen <- f.w.last()
	close(f.stop)
	return nil
}

func TestServerDeregistersBeforeTheDrain(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	f := &fake{stop: make(chan struct{}), w: w, seen: make(chan []string, 1)}
	s := &etcdresolve.Server{Server: f, Client: c, Prefix: prefix, TTL: time.Minute}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	w.becomes(t, l.Addr().String())
	require.NoError(t, s.Shutdown(t.Context()))
	require.EqualError(t, <-served, "closed")
	<-f.seen
	w.becomes(t)
	got, err := c.Get(t.Context(), prefix, clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, got.Kvs)
}
