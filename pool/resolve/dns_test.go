package resolve_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// zone is a DNS that the test changes while the bubble is idle.
type zone struct {
	mu      sync.Mutex // guards all below
	addrs   []string
	err     error
	hang    bool
	network string
	looks   int
}

// becomes changes what the zone says.
func (z *zone) becomes(err error, addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addrs, z.err = addrs, err
}

func (z *zone) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.looks++
	z.network = network
	if z.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	addrs := []netip.Addr{}
	for _, a := range z.addrs {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, z.err
}

var notFound = &net.DNSError{Err: "no such host", Name: "svc", IsNotFound: true}

func TestDNS(t *testing.T) {
	bubble(t, "changes on the interval, order-insensitive", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.2", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"}}
		w := watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup})
		require.Equal(t, "ip", z.network)
		require.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"}, w.last())
		z.becomes(nil, "2001:db8::1", "10.0.0.1", "10.0.0.2")
		pass(time.Minute)
		require.Len(t, w.sets(), 1, "another order is the same set")
		require.InDelta(t, 3, z.looks, 1)
		z.becomes(nil, "10.0.0.3")
		pass(30 * time.Second)
		require.Equal(t, []string{"10.0.0.3:80"}, w.last())
		require.Empty(t, w.errs())
	})
	bubble(t, "an error keeps the last set and is followed by a look soon", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.1"}}
		w := watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup})
		z.becomes(notFound)
		pass(31 * time.Second)
		require.NotEmpty(t, w.errs())
		require.ErrorIs(t, w.errs()[0], error(notFound))
		var e *resolve.Error
		require.ErrorAs(t, w.errs()[0], &e)
		require.Equal(t, "dns", e.Resolver)
		require.Len(t, w.sets(), 1)
		z.becomes(nil, "10.0.0.1")
		pass(4 * time.Second)
		require.Len(t, w.sets(), 2, "the same set says that the error is over")
	})
}

func TestDNSLooksInTime(t *testing.T) {
	bubble(t, "fails for ever without a flood", func(t *testing.T) {
		z := &zone{err: notFound}
		w := watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup})
		pass(time.Hour)
		require.InDelta(t, 130, len(w.errs()), 15, "one look in 27 to 30 seconds at last")
		require.Empty(t, w.sets())
	})
	bubble(t, "refresh", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.1"}}
		d := &resolve.DNS{Name: "svc:80", Lookup: z.lookup, Interval: -1}
		w := watch(t, d)
		pass(time.Hour)
		require.Equal(t, 1, z.looks, "a negative interval looks only when asked")
		z.becomes(nil, "10.0.0.2")
		d.Refresh()
		synctest.Wait()
		require.Equal(t, []string{"10.0.0.2:80"}, w.last())
		for range 1000 {
			d.Refresh()
			pass(10 * time.Millisecond)
		}
		require.InDelta(t, 12, z.looks, 1, "at most one look a second")
	})
	bubble(t, "a lookup that hangs times out", func(t *testing.T) {
		z := &zone{hang: true}
		w := watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup, Timeout: time.Second})
		pass(1001 * time.Millisecond)
		require.Len(t, w.errs(), 1)
		var timeout net.Error
		require.ErrorAs(t, w.errs()[0], &timeout)
		require.True(t, timeout.Timeout())
	})
	bubble(t, "the first look after a failure is a second later", func(t *testing.T) {
		z := &zone{err: notFound}
		watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup})
		pass(time.Second)
		require.Equal(t, 2, z.looks)
		pass(2 * time.Second)
		require.Equal(t, 3, z.looks)
	})
	bubble(t, "the shortest interval is a millisecond", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.1"}}
		watch(t, &resolve.DNS{Name: "svc:80", Lookup: z.lookup, Interval: 1, MinInterval: -1})
		pass(time.Second)
		require.InDelta(t, 1000, z.looks, 2)
	})
	bubble(t, "its context ends a look", func(t *testing.T) {
		z := &zone{hang: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := (&resolve.DNS{Name: "svc:80", Lookup: z.lookup}).Watch(ctx, func([]resolve.Endpoint, error) { t.Error("update after the end") })
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	bubble(t, "one family", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.1"}}
		w := watch(t, &resolve.DNS{Name: "svc:80", Network: "tcp4", Lookup: z.lookup})
		require.Equal(t, "ip4", z.network)
		require.Equal(t, []string{"tcp4!10.0.0.1:80"}, w.last())
	})
	bubble(t, "ends with its context, two watches", func(t *testing.T) {
		z := &zone{addrs: []string{"10.0.0.1"}}
		d := &resolve.DNS{Name: "svc:80", Lookup: z.lookup}
		a, b := watch(t, d), watch(t, d)
		require.Equal(t, a.last(), b.last())
	})
}

func TestDNSOfThisMachine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []resolve.Endpoint
	err := (&resolve.DNS{Name: "localhost:80"}).Watch(ctx, func(set []resolve.Endpoint, err error) {
		got = set
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NotEmpty(t, got)
	require.Contains(t, []string{"127.0.0.1:80", "[::1]:80"}, got[0].Addr)
}

func TestSRV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := []*net.SRV{{Target: "b.example.", Port: 2, Priority: 1, Weight: 0}, {Target: "a.example.", Port: 1, Weight: 5}}
		var failure error
		var asked []string
		var mu sync.Mutex // guards the three
		s := &resolve.SRV{Service: "orders", Proto: "tcp", Name: "example", Lookup: func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = []string{service, proto, name}
			return "", records, failure
		}}
		w := watch(t, s)
		require.Equal(t, []string{"orders", "tcp", "example"}, asked)
		require.Equal(t, [][]resolve.Endpoint{{
			{Network: "tcp", Addr: "a.example:1", Weight: 5},
			{Network: "tcp", Addr: "b.example:2", Weight: 1, Priority: 1},
		}}, w.sets())
		mu.Lock()
		records = []*net.SRV{{Target: "."}}
		mu.Unlock()
		pass(time.Second)
		s.Refresh()
		synctest.Wait()
		require.Empty(t, w.last(), "a target of . is no server")
		mu.Lock()
		failure = errors.New("down")
		mu.Unlock()
		pass(time.Second)
		s.Refresh()
		synctest.Wait()
		require.ErrorIs(t, w.errs()[0], failure)
		require.ErrorContains(t, w.errs()[0], "srv example")
	})
}

func TestConfigErrors(t *testing.T) {
	for field, r := range map[string]interface {
		resolve.Resolver
		Validate() error
	}{
		"DNS.Name":     &resolve.DNS{Name: "no port"},
		"DNS.Name ":    &resolve.DNS{Name: ":80"},
		"DNS.Network":  &resolve.DNS{Name: "a:1", Network: "udp"},
		"DNS.Timeout":  &resolve.DNS{Name: "a:1", Timeout: -1},
		"SRV.Name":     &resolve.SRV{},
		"SRV.Service":  &resolve.SRV{Name: "a", Service: "s"},
		"SRV.Timeout":  &resolve.SRV{Name: "a", Timeout: -1},
		"File.Path":    &resolve.File{},
		"File.MaxSize": &resolve.File{Path: "x", MaxSize: -1},
	} {
		err := r.Validate()
		var config *resolve.ConfigError
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, "resolve: "+field)
		require.False(t, config.SafeToRetry())
		require.Equal(t, err, r.Watch(t.Context(), func([]resolve.Endpoint, error) { t.Error("update was called") }))
	}
	var inner *net.AddrError
	require.ErrorAs(t, (&resolve.DNS{Name: "no port"}).Validate(), &inner)
}
