package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

// process is a program that runs beside this one.
type process struct {
	cmd  *exec.Cmd
	addr string // of a server
	gone bool
}

// kill is kill -9.
func (p *process) kill() error {
	if p.gone {
		return nil
	}
	p.gone = true
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that the process was killed
	return err
}

// terminate asks the process to end, and waits.
func (p *process) terminate() error {
	if p.gone {
		return nil
	}
	p.gone = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// start starts etcd and three servers.
func (c *cluster) start(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp("", "cluster"); err != nil {
		return err
	}
	if c.program, err = exec.LookPath("etcd"); err != nil || c.build {
		if c.program, err = buildEtcd(ctx, c.dir); err != nil {
			return err
		}
	}
	// Etcd is killed and comes back: nobody else may get its ports meanwhile.
	for _, addr := range []*string{&c.addr, &c.peer} {
		held, release, err := faultproxy.HeldAddr()
		if err != nil {
			return err
		}
		*addr, c.release = held, append(c.release, release)
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	for range 3 {
		if err := c.addServer(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends whatever runs.
func (c *cluster) stop() {
	for _, p := range c.servers {
		_ = p.kill()
	}
	if c.etcd != nil {
		_ = c.etcd.kill()
	}
	for _, release := range c.release {
		_ = release()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// buildEtcd builds the etcd server that the module internal/etcdserver names. It is a
// program of its own, so that it can be killed as one.
func buildEtcd(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "etcd-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "go.etcd.io/etcd/server/v3")
	cmd.Dir = filepath.Join("..", "..", "internal", "etcdserver")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("no etcd in PATH, and it cannot be built here (run this in examples/cluster, or install etcd-server): %w\n%s", err, out)
	}
	return program, nil
}

// startEtcd starts etcd, with the data it had before, and waits until it replies.
func (c *cluster) startEtcd(ctx context.Context) error {
	cmd := exec.Command(c.program, "--data-dir", filepath.Join(c.dir, "etcd"), "--log-level", "error",
		"--listen-client-urls", "http://"+c.addr, "--advertise-client-urls", "http://"+c.addr,
		"--listen-peer-urls", "http://"+c.peer, "--initial-advertise-peer-urls", "http://"+c.peer, "--initial-cluster", "default=http://"+c.peer)
	if err := cmd.Start(); err != nil {
		return err
	}
	c.etcd = &process{cmd: cmd}
	return c.until(ctx, func() bool {
		reply, err := http.Get("http://" + c.addr + "/health")
		if err != nil {
			return false
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		return err == nil && strings.Contains(string(body), `"true"`)
	})
}

// addServer starts this program again as a server, which says its address when
// it is registered.
func (c *cluster) addServer(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+c.addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd}
	c.servers = append(c.servers, p)
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("a server did not start: %w", err)
	}
	p.addr = strings.TrimSpace(line)
	return nil
}
