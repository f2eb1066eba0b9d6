// Command idle measures what an idle connection costs a server: it starts
// itself again as the server, opens connections to it, has one 64-byte frame
// echoed on each, and reads the server's resident set size from /proc (Linux
// only). Client and server are two processes because one may not have enough
// file descriptors for both ends.
//
//	go run ./idle -n 10000 -rounds 3
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	n := flag.Int("n", 10000, "connections")
	rounds := flag.Int("rounds", 3, "rounds; each runs every server once, in turn")
	only := flag.String("only", "", "run this server alone")
	serve := flag.String("serve", "", "run as the server of this name (internal)")
	flag.Parse()
	var err error
	if *serve != "" {
		err = runServer(*serve)
	} else {
		err = compare(*n, *rounds, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

// reading is what one round found out about one server, in bytes a connection.
type reading struct{ afterEcho, afterGC, stack float64 }

func compare(n, rounds int, only string) error {
	found := map[string][]reading{}
	for range rounds {
		for _, s := range servers {
			if only != "" && s.name != only {
				continue
			}
			r, err := measure(s.name, n)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			found[s.name] = append(found[s.name], r)
		}
	}
	fmt.Printf("bytes of server RSS a connection, %d idle connections after one echo, min/median/max of %d rounds\n", n, rounds)
	for _, s := range servers {
		if rs := found[s.name]; rs != nil {
			fmt.Printf("%-14s after the echo %s   after a collection %s   of which stacks %s\n", s.name,
				spread(rs, func(r reading) float64 { return r.afterEcho }),
				spread(rs, func(r reading) float64 { return r.afterGC }),
				spread(rs, func(r reading) float64 { return r.stack }))
		}
	}
	return nil
}

func spread(rs []reading, get func(reading) float64) string {
	var vs []float64
	for _, r := range rs {
		vs = append(vs, get(r))
	}
	slices.Sort(vs)
	return fmt.Sprintf("%6.0f/%6.0f/%6.0f", vs[0], vs[len(vs)/2], vs[len(vs)-1])
}

func measure(server string, n int) (_ reading, err error) {
	p, err := startServer(server)
	if err != nil {
		return reading{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if _, err := p.collect(); err != nil {
		return reading{}, err
	}
	before, err := p.rss()
	if err != nil {
		return reading{}, err
	}
	conns, err := echoOnce(p.addr, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return reading{}, err
	}
	after, err := p.rss()
	if err != nil {
		return reading{}, err
	}
	stacks, err := p.collect()
	if err != nil {
		return reading{}, err
	}
	settled, err := p.rss()
	per := func(bytes int) float64 { return float64(bytes) / float64(n) }
	return reading{per(after - before), per(settled - before), per(stacks)}, err
}

// echoOnce opens n connections, 64 at a time, and has each echo one frame.
func echoOnce(addr string, n int) ([]net.Conn, error) {
	conns := make([]net.Conn, 0, n)
	frame := append([]byte{0, 64}, strings.Repeat("x", 64)...)
	for len(conns) < n {
		batch := make([]net.Conn, min(64, n-len(conns)))
		errs := make([]error, len(batch))
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() { batch[i], errs[i] = dialAndEcho(addr, frame) })
		}
		wg.Wait()
		for _, c := range batch {
			if c != nil {
				conns = append(conns, c)
			}
		}
		if err := errors.Join(errs...); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

func dialAndEcho(addr string, frame []byte) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return c, err
	}
	if _, err := c.Write(frame); err != nil {
		return c, err
	}
	reply := make([]byte, len(frame))
	if _, err := io.ReadFull(c, reply); err != nil {
		return c, err
	}
	if string(reply) != string(frame) {
		return c, errors.New("the echo differs from what was sent")
	}
	return c, nil
}

// process is the server as its parent sees it: an address, and lines of
// commands and answers over its standard input and output.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
}

func startServer(name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-serve", name)
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
	p := &process{cmd: cmd, in: in, out: bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	p.addr = strings.TrimSpace(line)
	return p, err
}

// collect has the server collect garbage and return memory to the system, and
// returns how many bytes of it are stacks.
func (p *process) collect() (int, error) {
	if _, err := io.WriteString(p.in, "collect\n"); err != nil {
		return 0, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

func (p *process) rss() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

func (p *process) stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
