package netlab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Names is a name server for a Lab. Its answers are forgotten at once, as their
// time to live is zero.
type Names struct {
	mu    sync.Mutex // guards: addrs
	addrs map[string][]netip.Addr
	conn  net.PacketConn
	done  sync.WaitGroup
}

// ServeNames answers what comes on c, until Close.
func ServeNames(c net.PacketConn) *Names {
	n := &Names{addrs: map[string][]netip.Addr{}, conn: c}
	n.done.Go(n.serve)
	return n
}

// Set makes the name lead to these IPv4 addresses, in this order.
func (n *Names) Set(name string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[strings.ToLower(name)] = slices.Clone(addrs)
}

// Close ends the server.
func (n *Names) Close() error {
	err := n.conn.Close()
	n.done.Wait()
	return err
}

func (n *Names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := n.reply(buf[:size]); reply != nil {
			_, _ = n.conn.WriteTo(reply, from) // who asked asks again
		}
	}
}

const (
	dnsHeader   = 12
	dnsTypeA    = 1
	dnsNoSuch   = 3
	dnsIsReply  = 0x8400 // a reply, from who has authority
	dnsPointer  = 0xc000 | dnsHeader
	dnsClassNet = 1
)

// reply is that to one question, or nil for what is none.
func (n *Names) reply(query []byte) []byte {
	if len(query) < dnsHeader || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	var labels []string
	rest := query[dnsHeader:]
	for len(rest) > 0 && rest[0] != 0 {
		size := int(rest[0])
		if size > 63 || len(rest) < 1+size {
			return nil
		}
		labels = append(labels, strings.ToLower(string(rest[1:1+size])))
		rest = rest[1+size:]
	}
	if len(rest) < 5 {
		return nil
	}
	kind := binary.BigEndian.Uint16(rest[1:])
	n.mu.Lock()
	addrs, known := n.addrs[strings.Join(labels, ".")]
	n.mu.Unlock()
	if kind != dnsTypeA {
		addrs = nil
	}
	question := query[dnsHeader : len(query)-len(rest)+5]
	flags := uint16(dnsIsReply)
	if !known {
		flags |= dnsNoSuch
	}
	reply := append([]byte(nil), query[:2]...)
	for _, v := range []int{int(flags), 1, len(addrs), 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, uint16(v))
	}
	reply = append(reply, question...)
	for _, a := range addrs {
		for _, v := range []uint16{dnsPointer, dnsTypeA, dnsClassNet, 0, 0, 4} { // time to live 0
			reply = binary.BigEndian.AppendUint16(reply, v)
		}
		reply = append(reply, a.AsSlice()...)
	}
	return reply
}
