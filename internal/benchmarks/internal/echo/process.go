// Package echo has servers that send each frame back, ours and others', and runs
// each in a process of its own: the program starts itself again. Client and
// server then have separate heaps and file descriptors, and what a server costs
// can be told from what its clients cost.
package echo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// serveVariable names the server that a process is to be, delayVariable says how long
// its handler blocks, and listenVariable where it listens.
const (
	serveVariable  = "GTCP_BENCHMARK_SERVE"
	delayVariable  = "GTCP_BENCHMARK_DELAY"
	listenVariable = "GTCP_BENCHMARK_LISTEN"
)

// BeServer must be called first in main. In a process that Start has started it
// serves until the parent closes its standard input, and does not return.
func BeServer() {
	name := os.Getenv(serveVariable)
	if name == "" {
		return
	}
	if err := be(name); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// answers is the descriptor on which a server tells its parent things. It is not
// standard output, for some servers print there.
const answers = 3

// The lines that a server takes on standard input.
const (
	// collect makes it collect garbage, give memory back to the system, and tell
	// how much of it stacks take.
	collect = "collect"
	// cpu makes it tell the processor time that it has used, in nanoseconds.
	cpu = "cpu"
)

// be serves, and answers each line on standard input.
func be(name string) (err error) {
	serve := servers[name]
	if serve == nil {
		return errors.New("there is no such server")
	}
	if text := os.Getenv(delayVariable); text != "" {
		if delay, err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp4", os.Getenv(listenVariable))
	if err != nil {
		return err
	}
	out := os.NewFile(answers, "answers")
	fmt.Fprintln(out, l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- serve(l) }()
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		select {
		case err := <-failed:
			return err
		default:
		}
		switch commands.Text() {
		case collect:
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintln(out, m.StackInuse)
		case cpu:
			fmt.Fprintln(out, compare.ProcessorTime().Nanoseconds())
		}
	}
	return nil
}

// A Process is a server in a process of its own.
type Process struct {
	Addr string
	cmd  *exec.Cmd
	tls  bool
	in   io.WriteCloser
	out  *os.File
	read *bufio.Reader // of out
}

// Start starts the server of that name and returns when it has answered a frame.
func Start(name string) (*Process, error) { return start(name, 0, "127.0.0.1:0") }

// StartSlow starts a server whose handler blocks for a while.
func StartSlow(name string, delay time.Duration) (*Process, error) {
	return start(name, delay, "127.0.0.1:0")
}

// StartEverywhere starts a server that listens on all addresses of the machine, so on
// all of 127.0.0.0/8 too.
func StartEverywhere(name string) (*Process, error) { return start(name, 0, "0.0.0.0:0") }

func start(name string, delay time.Duration, listen string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveVariable+"="+name, delayVariable+"="+delay.String(), listenVariable+"="+listen)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{answers - 3: theirs}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p := &Process{cmd: cmd, tls: name == ServerTLS, in: in, out: out, read: bufio.NewReader(out)}
	if p.Addr, err = p.line(); err == nil {
		err = p.waitReady()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), p.Stop())
	}
	return p, nil
}

func (p *Process) line() (string, error) {
	line, err := p.read.ReadString('\n')
	return strings.TrimSpace(line), err
}

// waitReady waits: some servers give up the listener they are given and listen
// again, so that early clients may be refused or cut off.
func (p *Process) waitReady() error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := p.Dial()
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// Collect has the server collect its garbage and give memory back to the system.
// It returns how many bytes are stacks.
func (p *Process) Collect() (int, error) { return p.ask(collect) }

// CPU is the processor time that the server has used so far.
func (p *Process) CPU() (time.Duration, error) {
	ns, err := p.ask(cpu)
	return time.Duration(ns), err
}

func (p *Process) ask(command string) (int, error) {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return 0, err
	}
	line, err := p.line()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(line)
}

// RSS is the server's resident set in bytes. It is known on Linux only.
func (p *Process) RSS() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize(), err
}

// Stop ends the server and waits until it is gone.
func (p *Process) Stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait(), p.out.Close())
}
