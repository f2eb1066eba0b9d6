// Command server measures the server package beside its peers, each in a process
// of its own, on one client that turns to them in rotation so that all meet the
// same moments of a noisy machine:
//
//	go run ./server -bench echo       64 connections, one 64-byte request in flight on each
//	go run ./server -bench pipeline   one connection, as many 64-byte requests as fit
//	go run ./server -bench idle       resident memory of 10,000 connections after one echo
//
// It prints the median rate of each and, of the ratios to ours round by round,
// the least, the median and the greatest.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	bench := flag.String("bench", "echo", "echo, pipeline or idle")
	rounds := flag.Int("rounds", 9, "rounds over all servers")
	length := flag.Duration("length", 500*time.Millisecond, "of one measurement")
	conns := flag.Int("conns", 0, "connections (0: 64 for echo, 10000 for idle)")
	only := flag.String("only", "", "comma-separated servers (default: all that take part)")
	serve := flag.String("serve", "", "be this server (used by the program itself)")
	flag.Parse()

	if *serve != "" {
		beServer(*serve)
		return
	}
	names := map[string][]string{
		"echo":     {"ours", "gtcp", "netpoll", "gnet", "hand-written"},
		"pipeline": {"ours", "gtcp", "netpoll", "netpoll-coalesced", "gnet", "hand-written"},
		"idle":     {"ours", "gtcp", "netpoll", "gnet", "hand-written"},
	}[*bench]
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	switch *bench {
	case "echo":
		n := *conns
		if n == 0 {
			n = 64
		}
		compare(names, *rounds, func(s *child) float64 { return echoRate(s.addr, n, *length) })
	case "pipeline":
		compare(names, *rounds, func(s *child) float64 { return pipelineRate(s.addr, *length) })
	case "idle":
		n := *conns
		if n == 0 {
			n = 10000
		}
		idle(names, n)
	default:
		fmt.Fprintf(os.Stderr, "unknown benchmark %q\n", *bench)
		os.Exit(2)
	}
}

// child is a server in a process of its own.
type child struct {
	name string
	addr string
	cmd  *exec.Cmd
	in   *bufio.Writer
	out  *bufio.Reader
}

func startChild(name string) *child {
	cmd := exec.Command(os.Args[0], "-serve", name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	c := &child{name: name, cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewReader(out)}
	c.addr = c.line()
	waitReady(c.addr)
	return c
}

func (c *child) line() string {
	s, err := c.out.ReadString('\n')
	must(err)
	return strings.TrimSpace(s)
}

// collect makes the child collect its garbage and give memory back.
func (c *child) collect() {
	_, err := c.in.WriteString("collect\n")
	must(err)
	must(c.in.Flush())
	c.line()
}

func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// compare runs measure on each server in each round and prints the table.
func compare(names []string, rounds int, measure func(*child) float64) {
	servers := make([]*child, len(names))
	rates := make([][]float64, len(names))
	for i, name := range names {
		servers[i] = startChild(name)
		defer servers[i].stop()
		measure(servers[i]) // warm
	}
	for r := range rounds {
		for i := range servers {
			at := (i + r) % len(servers)
			rates[at] = append(rates[at], measure(servers[at]))
		}
	}
	fmt.Printf("%-18s %12s   ours / it: min  median     max\n", "server", "requests/s")
	for i, name := range names {
		ratios := make([]float64, rounds)
		for r := range rounds {
			ratios[r] = rates[0][r] / rates[i][r]
		}
		fmt.Printf("%-18s %12.0f         %7.2f %7.2f %7.2f\n", name, median(rates[i]),
			slices.Min(ratios), median(ratios), slices.Max(ratios))
	}
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
