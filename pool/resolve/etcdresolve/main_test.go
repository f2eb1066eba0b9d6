package etcdresolve_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "/services/orders/"

// etcd is a real etcd in a process of its own.
type etcd struct {
	t    *testing.T
	dir  string
	addr string
	peer string
	cmd  *exec.Cmd
}

// newEtcd starts an etcd, or skips the test where none is installed.
func newEtcd(t *testing.T) *etcd {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd in PATH: install the distribution's package etcd-server")
	}
	e := &etcd{t: t, dir: t.TempDir(), addr: heldAddr(t), peer: heldAddr(t)}
	e.start()
	t.Cleanup(e.kill)
	return e
}

// heldAddr is an address that stays free, also while etcd is dead.
func heldAddr(t *testing.T) string {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return addr
}

func (e *etcd) start() {
	e.cmd = exec.Command("etcd", "--data-dir", filepath.Join(e.dir, "data"), "--listen-client-urls", "http://"+e.addr,
		"--advertise-client-urls", "http://"+e.addr, "--listen-peer-urls", "http://"+e.peer,
		"--initial-advertise-peer-urls", "http://"+e.peer, "--initial-cluster", "default=http://"+e.peer)
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(e.t, err)
	defer log.Close()
	e.cmd.Stderr = log
	require.NoError(e.t, e.cmd.Start())
}

// kill is kill -9.
func (e *etcd) kill() {
	if e.cmd != nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
		e.cmd = nil
	}
}

// wipe forgets all data, as a restored backup forgets the latest.
func (e *etcd) wipe() { require.NoError(e.t, os.RemoveAll(filepath.Join(e.dir, "data"))) }

func (e *etcd) client() *clientv3.Client {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{e.addr}, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: time.Second, Logger: zap.NewNop(),
	})
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ready waits until etcd replies.
func (e *etcd) ready(c *clientv3.Client) {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "x")
		if err != nil {
			c.ActiveConnection().ResetConnectBackoff()
		}
		return err == nil
	}, 60*time.Second, 50*time.Millisecond)
}

// watched records what a resolver reports.
type watched struct {
	mu   sync.Mutex // guards both
	sets [][]string
	errs []error
}

func watch(t *testing.T, r resolve.Resolver) *watched {
	w := &watched{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Watch(ctx, func(set []resolve.Endpoint, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err != nil {
				w.errs = append(w.errs, err)
				return
			}
			addrs := []string{}
			for _, e := range set {
				addrs = append(addrs, fmt.Sprint(e.Addr, e.Zone))
			}
			w.sets = append(w.sets, addrs)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err == nil {
			t.Error("Watch returned no error")
		}
	})
	return w
}

func (w *watched) last() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sets) == 0 {
		return nil
	}
	return w.sets[len(w.sets)-1]
}

func (w *watched) errors() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.errs)
}

// becomes waits until the last set is this one.
func (w *watched) becomes(t *testing.T, addrs ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return slices.Equal(w.last(), addrs) }, 60*time.Second, 5*time.Millisecond,
		"want %v, is %v, errors %v", addrs, w.last(), w.errors())
}

func put(t *testing.T, c *clientv3.Client, name, value string) {
	t.Helper()
	_, err := c.Put(t.Context(), prefix+name, value)
	require.NoError(t, err)
}
