package gsvcresolve_test

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/gogf/gf/contrib/registry/etcd/v2"
	"github.com/gogf/gf/v2/net/gsvc"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

// startEtcd starts a real etcd and returns what kills it with kill -9.
func startEtcd(t *testing.T, dir, addr, peer string) (kill func()) {
	t.Helper()
	cmd := exec.Command("etcd", "--data-dir", dir, "--listen-client-urls", "http://"+addr, "--advertise-client-urls", "http://"+addr,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster", "default=http://"+peer)
	require.NoError(t, cmd.Start())
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// heldAddr is an address that stays free, also while etcd is dead.
func heldAddr(t *testing.T) string {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return addr
}

// GoFrame's own etcd registry on a real etcd, which is killed and comes back.
func TestGoFrameEtcdRegistry(t *testing.T) {
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd in PATH: install the distribution's package etcd-server")
	}
	dir, addr, peer := t.TempDir(), heldAddr(t), heldAddr(t)
	kill := startEtcd(t, dir, addr, peer)
	t.Cleanup(func() { kill() })
	registry := etcd.New(addr, etcd.Option{DialTimeout: 2 * time.Second})
	service := func(endpoint string) gsvc.Service {
		return &gsvc.LocalService{Name: "orders", Endpoints: gsvc.NewEndpoints(endpoint), Metadata: gsvc.Metadata{"zone": "z"}}
	}
	register := func(endpoint string) gsvc.Service {
		t.Helper()
		var registered gsvc.Service
		require.Eventually(t, func() (ok bool) {
			var err error
			registered, err = registry.Register(t.Context(), service(endpoint))
			return err == nil
		}, 60*time.Second, 100*time.Millisecond)
		return registered
	}
	becomes := func(w *watched, addrs ...string) {
		t.Helper()
		require.Eventually(t, func() bool { return slices.Equal(w.last(), addrs) }, 60*time.Second, 5*time.Millisecond, "%v", addrs)
	}

	one := register("10.0.0.1:80")
	w := watch(t, orders(registry))
	becomes(w, "10.0.0.1:80")
	register("10.0.0.2:80")
	becomes(w, "10.0.0.1:80", "10.0.0.2:80")
	require.NoError(t, registry.Deregister(t.Context(), one))
	becomes(w, "10.0.0.2:80")

	kill()
	kill = startEtcd(t, dir, addr, peer)
	register("10.0.0.3:80")
	begun := time.Now()
	becomes(w, "10.0.0.2:80", "10.0.0.3:80")
	t.Logf("seen %v after the registration", time.Since(begun))
}
