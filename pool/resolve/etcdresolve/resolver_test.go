package etcdresolve_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/resolve/etcdresolve"
)

func TestResolver(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	put(t, c, "a", "10.0.0.1:80")
	put(t, c, "b", `{"addr":"10.0.0.2:80","zone":"z","weight":3}`)
	put(t, c, "bad", `{"addr":1}`)
	put(t, c, "none", "")
	_, err := c.Put(t.Context(), "/services/orders-test/x", "10.9.9.9:80")
	require.NoError(t, err)
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: "/services/orders"})
	w.becomes(t, "10.0.0.1:80", "10.0.0.2:80z")
	put(t, c, "c", "10.0.0.3:80")
	w.becomes(t, "10.0.0.1:80", "10.0.0.2:80z", "10.0.0.3:80")
	put(t, c, "c", "{") // not readable any more
	w.becomes(t, "10.0.0.1:80", "10.0.0.2:80z")
	_, err = c.Delete(t.Context(), prefix, clientv3.WithPrefix())
	require.NoError(t, err)
	w.becomes(t)
	require.Empty(t, w.errors())
}

func TestResolverRefresh(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	put(t, c, "a", "a:1")
	reads := make(chan string, 100)
	r := &etcdresolve.Resolver{Client: c, Prefix: prefix, Interval: -1, Parse: func(name string, _ []byte) (resolve.Endpoint, error) {
		reads <- name
		return resolve.Endpoint{Addr: "parsed:1"}, nil
	}}
	w := watch(t, r)
	require.Equal(t, "a", <-reads)
	w.becomes(t, "parsed:1")
	for range 2 {
		require.Eventually(t, func() bool { r.Refresh(); return len(reads) > 0 }, 30*time.Second, 10*time.Millisecond)
		<-reads
	}
}

// etcd is down when the client starts.
func TestResolverEtcdDownAtStart(t *testing.T) {
	e := newEtcd(t)
	e.kill()
	c := e.client()
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix, Timeout: 200 * time.Millisecond})
	require.Eventually(t, func() bool { return len(w.errors()) > 0 }, 30*time.Second, 5*time.Millisecond)
	var failure *etcdresolve.Error
	require.ErrorAs(t, w.errors()[0], &failure)
	require.Equal(t, "read", failure.Op)
	e.start()
	w.becomes(t)
	put(t, c, "a", "a:1")
	w.becomes(t, "a:1")
}

// etcd is killed, is away, and comes back: the set stays, and what changes
// afterwards is seen.
func TestResolverEtcdRestarts(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	put(t, c, "a", "a:1")
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix, Interval: -1})
	w.becomes(t, "a:1")
	e.kill()
	e.start()
	other := e.client() // of the server that is added
	e.ready(other)
	put(t, other, "b", "b:1")
	begun := time.Now()
	w.becomes(t, "a:1", "b:1")
	t.Logf("seen after %v", time.Since(begun))
}

// The changes that the watch has missed are gone from the history.
func TestResolverCompactedWatch(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	put(t, c, "a", "a:1")
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix, Interval: -1})
	w.becomes(t, "a:1")
	// The watch resumes at a revision that is compacted by then.
	e.kill()
	e.start()
	other := e.client()
	e.ready(other)
	for range 20 {
		put(t, other, "b", "b:1")
	}
	got, err := other.Get(t.Context(), prefix)
	require.NoError(t, err)
	_, err = other.Compact(t.Context(), got.Header.Revision)
	require.NoError(t, err)
	w.becomes(t, "a:1", "b:1")
	put(t, other, "c", "c:1")
	w.becomes(t, "a:1", "b:1", "c:1")
}

// etcd comes back with fewer revisions than the watch has seen: it would wait
// for ever for the next one.
func TestResolverEtcdLosesItsData(t *testing.T) {
	e := newEtcd(t)
	c := e.client()
	e.ready(c)
	for range 50 {
		put(t, c, "a", "a:1")
	}
	w := watch(t, &etcdresolve.Resolver{Client: c, Prefix: prefix, Interval: time.Second})
	w.becomes(t, "a:1")
	e.kill()
	e.wipe()
	e.start()
	other := e.client()
	e.ready(other)
	put(t, other, "b", "b:1")
	w.becomes(t, "b:1")
}

func TestConfigErrors(t *testing.T) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
	require.NoError(t, err)
	defer c.Close()
	for field, r := range map[string]*etcdresolve.Resolver{
		"Resolver.Client":  {Prefix: "a"},
		"Resolver.Prefix":  {Client: c, Prefix: "/"},
		"Resolver.Timeout": {Client: c, Prefix: "a", Timeout: -1},
	} {
		err := r.Watch(t.Context(), nil)
		var config *resolve.ConfigError
		require.ErrorAs(t, err, &config)
		require.Equal(t, field, config.Field)
	}
	_, err = etcdresolve.Register(c, "", resolve.Endpoint{Addr: "a:1"}, 0)
	require.Error(t, err)
	_, err = etcdresolve.Register(c, prefix, resolve.Endpoint{}, 0)
	require.Error(t, err)
	failure := &etcdresolve.Error{Op: "read", Key: prefix, Err: context.DeadlineExceeded}
	require.True(t, failure.Timeout())
	require.True(t, errors.Is(failure, context.DeadlineExceeded))
}
