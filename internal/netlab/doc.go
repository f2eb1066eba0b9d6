// Package netlab makes a small network of hosts whose links can be broken. It is
// for tests of what a real network does to real sockets: loss, delay, reordering,
// corruption, a silent peer, a firewall that forgets, a host that dies.
//
// A host is a network namespace with one TUN device. What one host sends to
// another passes through this process, which drops, delays or changes packets as
// the [Fault] between the two says. So no kernel module is needed (many kernels
// lack sch_netem), and no packet leaves the machine. It needs Linux, root, the ip
// command and /dev/net/tun; [Available] says what is missing.
package netlab
