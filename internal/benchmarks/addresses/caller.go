package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// task is what a caller's process is to do; taskVariable has it as JSON.
type task struct {
	Kind, Server string
	Addresses    int
}

const taskVariable = "GTCP_BENCHMARK_CALLER"

// caller is a process that calls.
type caller struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	turns *json.Encoder // a length each
	found *json.Decoder // the figures of each
}

// startCaller starts the process, and returns when all connections are open.
func startCaller(kind, server string, n int) (*caller, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t, err := json.Marshal(task{kind, server, n})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), taskVariable+"="+string(t))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &caller{cmd, in, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
	if _, err := c.turn(0); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// memory returns the memory of an address.
func (c *caller) memory(time.Duration) ([]float64, error) {
	figures, err := c.turn(0)
	return figures[:min(len(figures), 1)], err
}

// calls returns what a call costs.
func (c *caller) calls(length time.Duration) ([]float64, error) {
	figures, err := c.turn(length)
	return figures[min(len(figures), 1):], err
}

// turn has the process call for a while. It returns the memory of an address, and the
// figures of a call.
func (c *caller) turn(length time.Duration) (figures []float64, err error) {
	if err := c.turns.Encode(length); err != nil {
		return nil, err
	}
	err = c.found.Decode(&figures)
	return figures, err
}

// stop ends the process and waits until it is gone.
func (c *caller) stop() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// beCaller must be called early in main. In a process that startCaller has started
// it calls until the parent closes its standard input, and does not return.
func beCaller() error {
	text := os.Getenv(taskVariable)
	if text == "" {
		return nil
	}
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == t.Kind })
	if i < 0 {
		return errors.New("there is no such kind of client")
	}
	m, err := open(kinds[i], t)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var length time.Duration
		if err := in.Decode(&length); err == io.EOF {
			os.Exit(0)
		} else if err != nil {
			return err
		}
		figures, err := m.turn(length)
		if err == nil {
			err = out.Encode(figures)
		}
		if err != nil {
			return err
		}
	}
}

// measured are the clients of a process.
type measured struct {
	many, one func(i int) error
	order     []int // of the addresses
	next      int
	bytes     float64 // of memory an address
}

// settle is how long connections have to become idle.
const settle = 200 * time.Millisecond

// open makes the clients, and has each address called.
func open(k kind, t task) (*measured, error) {
	addrs, err := addresses(t.Server, t.Addresses+1)
	if err != nil {
		return nil, err
	}
	one, err := k.open(addrs[:1]) // first, so that what is made once is not counted
	if err == nil {
		err = one(0)
	}
	if err != nil {
		return nil, err
	}
	before := inUse()
	many, err := k.open(addrs[1:])
	if err != nil {
		return nil, err
	}
	for i := range t.Addresses {
		if err := many(i); err != nil {
			return nil, fmt.Errorf("%s: %w", addrs[1+i], err)
		}
	}
	time.Sleep(settle)
	bytes := float64(inUse()-before) / float64(t.Addresses)
	return &measured{many: many, one: one, order: rand.Perm(t.Addresses), bytes: bytes}, nil
}

// addresses are n addresses of the server.
func addresses(server string, n int) (all []string, err error) {
	_, port, err := net.SplitHostPort(server)
	for i := range n {
		all = append(all, net.JoinHostPort(fmt.Sprintf("127.%d.%d.1", 1+i/250, 1+i%250), port))
	}
	return all, err
}

// inUse is the memory of the heap and of the stacks after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool had is kept for one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// turn calls the addresses in random order, and the one address, in short blocks by
// turns.
func (m *measured) turn(length time.Duration) ([]float64, error) {
	const block = 100
	var wall, cpu [2]time.Duration
	n := 0
	for begun := time.Now(); n == 0 || time.Since(begun) < length; n += block {
		for i, call := range []func() error{m.atRandom, func() error { return m.one(0) }} {
			start, used := time.Now(), compare.ProcessorTime()
			for range block {
				if err := call(); err != nil {
					return nil, err
				}
			}
			wall[i] += time.Since(start)
			cpu[i] += compare.ProcessorTime() - used
		}
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	return []float64{m.bytes, per(cpu[0]), per(cpu[1]), per(wall[0]), per(wall[1])}, nil
}

// atRandom calls the next address.
func (m *measured) atRandom() error {
	if m.next == len(m.order) {
		m.next = 0
	}
	m.next++
	return m.many(m.order[m.next-1])
}
