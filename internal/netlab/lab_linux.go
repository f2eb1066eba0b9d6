package netlab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	device  = "lab0"
	mtu     = 1500
	network = "10.77.0.%d"
	prefix  = "gtcplab-"
)

// Available returns nil where a Lab can be made, or an error that says what is
// missing.
func Available() error {
	switch {
	case os.Geteuid() != 0:
		return errors.New("netlab: needs root")
	case setnsNumber == 0:
		return errors.New("netlab: needs amd64, arm64, 386 or riscv64")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("netlab: needs the ip command (Debian: iproute2)")
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("netlab: needs /dev/net/tun: %w", err)
	}
	return f.Close()
}

// Lab is a network of hosts. Close it to remove them.
type Lab struct {
	mu     sync.Mutex // guards: hosts, ways, last, random
	hosts  map[netip.Addr]*Host
	ways   map[[2]*Host]*direction
	last   map[flow]time.Time // when a packet of the connection passed
	random *rand.Rand

	readers sync.WaitGroup
	later   postbox
}

// Host is one host of a Lab.
type Host struct {
	Name string
	Addr netip.Addr

	lab       *Lab
	namespace string
	tun       *os.File
	down      bool // guarded by lab.mu
}

// New makes a Lab with a host for each name. A seed makes the chances the same in
// each run, as far as the packets are.
func New(seed uint64, names ...string) (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	removeStale()
	l := &Lab{hosts: map[netip.Addr]*Host{}, ways: map[[2]*Host]*direction{}, last: map[flow]time.Time{},
		random: rand.New(rand.NewPCG(seed, seed))}
	l.later.start(l.write)
	for i, name := range names {
		h := &Host{Name: name, lab: l, namespace: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), name),
			Addr: netip.MustParseAddr(fmt.Sprintf(network, i+1))}
		if err := h.setUp(); err != nil {
			return nil, errors.Join(err, h.remove(), l.Close())
		}
		l.mu.Lock()
		l.hosts[h.Addr] = h
		l.mu.Unlock()
	}
	for _, h := range l.hosts {
		l.readers.Go(func() { l.read(h) })
	}
	return l, nil
}

func (h *Host) setUp() (err error) {
	if err := ip("netns", "add", h.namespace); err != nil {
		return err
	}
	if h.tun, err = openTUN(h.namespace, device); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", h.Addr.String() + "/24", "dev", device},
		{"link", "set", device, "mtu", strconv.Itoa(mtu), "up"},
	} {
		if err := ip(append([]string{"-n", h.namespace}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) remove() error {
	err := ip("netns", "del", h.namespace)
	if h.tun != nil {
		err = errors.Join(err, h.tun.Close())
	}
	return errors.Join(err, os.RemoveAll(filepath.Join("/etc/netns", h.namespace)))
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// removeStale removes what a killed process left.
func removeStale() {
	names, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, name := range names {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(name), prefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			_ = ip("netns", "del", filepath.Base(name))
			_ = os.RemoveAll(filepath.Join("/etc/netns", filepath.Base(name)))
		}
	}
}

// Close removes the hosts. End what runs in them first.
func (l *Lab) Close() error {
	var err error
	for _, h := range l.hosts {
		err = errors.Join(err, h.remove())
	}
	l.readers.Wait()
	l.later.stop()
	return err
}

// Host returns the host of the name, or nil.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Break sets the fault for what from sends to to; the zero Fault mends it.
func (l *Lab) Break(from, to *Host, f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.way(from, to)
	d.fault, d.free, d.dead = f, time.Time{}, map[flow]bool{}
	if f.DropBusy {
		for known := range l.last {
			d.dead[known] = true
		}
	}
}

// BreakBoth is Break in both directions.
func (l *Lab) BreakBoth(a, b *Host, f Fault) {
	l.Break(a, b, f)
	l.Break(b, a, f)
}

// SetDown takes a host off the network, or puts it back: nothing that it sends or
// is sent arrives, and nobody is told.
func (h *Host) SetDown(down bool) {
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	h.down = down
}

// way must be called with l.mu held.
func (l *Lab) way(from, to *Host) *direction {
	key := [2]*Host{from, to}
	if l.ways[key] == nil {
		l.ways[key] = &direction{dead: map[flow]bool{}}
	}
	return l.ways[key]
}

// Command is a command that runs in the host.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.namespace, name}, args...)...)
}

// Do calls f on a thread of the host: the sockets that f itself makes are the
// host's, those of goroutines that it starts are not.
func (h *Host) Do(f func() error) error { return inNamespace(h.namespace, f) }

// Configure runs ip within the host, for example "route", "add", ….
func (h *Host) Configure(args ...string) error {
	return ip(append([]string{"-n", h.namespace}, args...)...)
}

// File puts a file in the place of /etc/name for what [Host.Command] starts
// afterwards.
func (h *Host) File(name, text string) error {
	dir := filepath.Join("/etc/netns", h.namespace)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
}

// ListenPacket opens a packet socket in the host.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}
