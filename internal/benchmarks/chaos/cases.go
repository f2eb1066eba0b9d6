//go:build linux

package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/netlab"
)

// scenario is one case.
type scenario struct {
	name  string
	short bool // is in the short form
	// recipe: the recipes are played too.
	recipe bool
	load   load
	// endless calls have no deadline.
	endless bool
	steps   []step
	// stays: the fault is not mended; the clients must find a way round it.
	stays bool
	after time.Duration // the load goes on for so long after the last step
	// goal is how soon after the mending the first call must succeed; of a
	// fault that stays, how long nothing may succeed. Zero means no goal.
	goal time.Duration
}

// step is what is done at a time after the warm-up. The last one mends the fault,
// unless it stays.
type step struct {
	at time.Duration
	do func(*stage) error
}

func broken(f netlab.Fault) func(*stage) error {
	return func(s *stage) error { return s.breaks(f) }
}

// during is a fault of the link that lasts for d.
func during(d time.Duration, f netlab.Fault) []step {
	return []step{{0, broken(f)}, {d, broken(netlab.Fault{})}}
}

// outOfService kills the server and starts it again after d, on a link that is
// broken meanwhile.
func outOfService(d time.Duration, f netlab.Fault) []step {
	return []step{
		{0, func(s *stage) error { s.kill(first); return s.breaks(f) }},
		{d, func(s *stage) error {
			if f == (netlab.Fault{}) {
				return s.startServer(first)
			}
			return s.breaks(netlab.Fault{})
		}},
	}
}

// unreachable restarts the server at once, and drops SYNs for d.
func unreachable(d time.Duration) []step {
	return []step{
		{0, func(s *stage) error {
			if err := s.breaks(netlab.Fault{DropSYN: true}); err != nil {
				return err
			}
			s.kill(first)
			return s.startServer(first)
		}},
		{d, broken(netlab.Fault{})},
	}
}

func stopped(d time.Duration) []step {
	return []step{
		{0, func(s *stage) error { return s.signal(first, syscall.SIGSTOP) }},
		{d, func(s *stage) error { return s.signal(first, syscall.SIGCONT) }},
	}
}

func restarted(s *stage) error {
	s.kill(first)
	return s.startServer(first)
}

// ports limits the clients' host to n local ports, counted from 40,000.
func ports(n int) func(*stage) error {
	return func(s *stage) error {
		text := fmt.Sprintf("echo '40000 %d' > /proc/sys/net/ipv4/ip_local_port_range", 40000+n-1)
		return s.here.Command(s.ctx, "sh", "-c", text).Run()
	}
}

const (
	sec         = time.Second
	allPorts    = 20000
	oneOfTwenty = 20 // one request of so many is large: 5 %
)

var cases = []scenario{
	{name: "no fault", short: true, steps: during(3*sec, netlab.Fault{}), after: sec},
	{name: "5 % loss", short: true, steps: during(6*sec, netlab.Fault{Loss: .05}), after: 2 * sec},
	{name: "30 % loss", recipe: true, steps: during(15*sec, netlab.Fault{Loss: .3}), after: 5 * sec},
	{name: "delay of 30 to 60 ms", steps: during(8*sec, netlab.Fault{Delay: 30 * time.Millisecond, Jitter: 30 * time.Millisecond}), after: 2 * sec},
	{name: "20 % reordered", steps: during(8*sec, netlab.Fault{Reorder: .2}), after: 2 * sec},
	{name: "20 % duplicated", steps: during(8*sec, netlab.Fault{Duplicate: .2}), after: 2 * sec},
	{name: "5 % corrupted", short: true, steps: during(6*sec, netlab.Fault{Corrupt: .05}), after: 2 * sec},
	{name: "100 KB a second", steps: during(8*sec, netlab.Fault{Rate: 100e3}), after: 3 * sec},
	{name: "MTU hole, 5 % of the requests", recipe: true, short: true, load: load{LargeEach: oneOfTwenty},
		steps: during(10*sec, netlab.Fault{MTU: 1000}), after: 3 * sec},
	{name: "requests vanish for 5 s", steps: []step{
		{0, func(s *stage) error { s.lab.Break(s.here, s.lab.Host(first), netlab.Fault{Block: true}); return nil }},
		{5 * sec, broken(netlab.Fault{})}}, after: 5 * sec, goal: sec / 2},
	{name: "replies vanish for 5 s", steps: []step{
		{0, func(s *stage) error { s.lab.Break(s.lab.Host(first), s.here, netlab.Fault{Block: true}); return nil }},
		{5 * sec, broken(netlab.Fault{})}}, after: 5 * sec, goal: sec / 2},
	{name: "partition of 5 s", short: true, steps: during(5*sec, netlab.Fault{Block: true}), after: 5 * sec, goal: sec / 2},
	{name: "partition of 30 s", recipe: true, steps: during(30*sec, netlab.Fault{Block: true}), after: 30 * sec, goal: sec / 2},
	{name: "partition of 90 s", steps: during(90*sec, netlab.Fault{Block: true}), after: 30 * sec, goal: sec / 2},
	{name: "busy connections dropped", recipe: true, short: true, steps: []step{{0, broken(netlab.Fault{DropBusy: true})}},
		stays: true, after: 15 * sec, goal: 2 * sec},
	{name: "busy connections dropped, one caller with 60 s", load: load{Patient: 60 * sec},
		steps: []step{{0, broken(netlab.Fault{DropBusy: true})}}, stays: true, after: 15 * sec, goal: 2 * sec},
	{name: "idle connections dropped", recipe: true, short: true, steps: []step{
		{0, func(s *stage) error {
			if err := s.breaks(netlab.Fault{DropIdle: 2 * sec}); err != nil {
				return err
			}
			return s.tell("pause")
		}},
		{4 * sec, func(s *stage) error { return s.tell("resume") }}}, after: 8 * sec, goal: 2 * sec},
	{name: "1 % of packets become resets", short: true, steps: during(6*sec, netlab.Fault{Reset: .01}), after: 2 * sec},
	{name: "restart, SYNs dropped for 6 s", steps: unreachable(6 * sec), after: 10 * sec, goal: sec},
	{name: "restart, SYNs dropped for 20 s", steps: unreachable(20 * sec), after: 30 * sec, goal: sec},
	{name: "restart, SYNs dropped for 27 s", steps: unreachable(27 * sec), after: 30 * sec, goal: sec},
	{name: "SIGSTOP of 5 s", steps: stopped(5 * sec), after: 3 * sec, goal: sec / 2},
	{name: "SIGSTOP of 30 s", steps: stopped(30 * sec), after: 5 * sec, goal: sec / 2},
	{name: "kill -9 and return at once", steps: []step{{0, restarted}}, after: 3 * sec, goal: sec / 2},
	{name: "kill -9, refused for 1 s", short: true, steps: outOfService(sec, netlab.Fault{}), after: 3 * sec, goal: 50 * time.Millisecond},
	{name: "kill -9, refused for 20 s", steps: outOfService(20*sec, netlab.Fault{}), after: 10 * sec, goal: sec},
	{name: "host dies, its name moves after 3 s", recipe: true, short: true, steps: []step{
		{0, func(s *stage) error { s.lab.Host(first).SetDown(true); return nil }},
		{3 * sec, func(s *stage) error { s.move(second); return nil }}}, stays: true, after: 17 * sec, goal: 6 * sec},
	{name: "two addresses, the first host dies", steps: []step{
		{0, func(s *stage) error { s.move(first, second); s.lab.Host(first).SetDown(true); return nil }}},
		stays: true, after: 20 * sec, goal: 3600 * time.Millisecond},
	{name: "restart with 12 descriptors for 5 s", steps: []step{
		{0, func(s *stage) error {
			if err := s.tell("nofile 12"); err != nil {
				return err
			}
			return restarted(s)
		}},
		{5 * sec, func(s *stage) error { return s.tell("nofile 0") }}}, after: 3 * sec, goal: sec},
	{name: "restart with 8 local ports for 5 s", steps: []step{
		{0, func(s *stage) error {
			if err := ports(8)(s); err != nil {
				return err
			}
			return restarted(s)
		}},
		{5 * sec, ports(allPorts)}}, after: 3 * sec, goal: sec},
	{name: "no deadline, partition of 40 s", endless: true, steps: during(40*sec, netlab.Fault{Block: true}), after: 30 * sec},
}
