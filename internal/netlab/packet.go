package netlab

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags.
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

const (
	protocolTCP  = 6
	headerIPv4   = 20
	headerTCP    = 20
	defaultTTL   = 64
	versionIPv4  = 4
	resetPackets = 2
)

// packet is what the faults need to know of an IPv4 packet.
type packet struct {
	raw      []byte
	src, dst netip.Addr
	tcp      []byte // header and payload; nil if it is not TCP, or a later fragment
}

// parse returns false for what is not IPv4.
func parse(raw []byte) (p packet, ok bool) {
	if len(raw) < headerIPv4 || raw[0]>>4 != versionIPv4 {
		return p, false
	}
	header := int(raw[0]&15) * 4
	if header < headerIPv4 || len(raw) < header {
		return p, false
	}
	p = packet{raw: raw, src: netip.AddrFrom4([4]byte(raw[12:16])), dst: netip.AddrFrom4([4]byte(raw[16:20]))}
	fragment := binary.BigEndian.Uint16(raw[6:])&0x1fff != 0
	if raw[9] == protocolTCP && !fragment && len(raw) >= header+headerTCP {
		p.tcp = raw[header:]
	}
	return p, true
}

func (p packet) flags() byte {
	if p.tcp == nil {
		return 0
	}
	return p.tcp[13]
}

// opens reports whether the packet is the first of a connection.
func (p packet) opens() bool { return p.flags()&(flagSYN|flagACK) == flagSYN }

// flow names a connection, the same from both sides.
type flow struct{ a, b netip.AddrPort }

func (p packet) flow() flow {
	if p.tcp == nil {
		return flow{}
	}
	a := netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(p.tcp))
	b := netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(p.tcp[2:]))
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return flow{a, b}
}

// resets forges what a middlebox sends to both ends to end the connection that p
// belongs to: first the packet for p's receiver, then the one for its sender.
func (p packet) resets() [resetPackets][]byte {
	seq, ack := binary.BigEndian.Uint32(p.tcp[4:]), binary.BigEndian.Uint32(p.tcp[8:])
	header := int(p.tcp[12]>>4) * 4
	payload := uint32(max(0, len(p.tcp)-header))
	src, dst := binary.BigEndian.Uint16(p.tcp), binary.BigEndian.Uint16(p.tcp[2:])
	return [resetPackets][]byte{
		reset(p.src, p.dst, src, dst, seq, ack),
		reset(p.dst, p.src, dst, src, ack, seq+payload),
	}
}

func reset(src, dst netip.Addr, srcPort, dstPort uint16, seq, ack uint32) []byte {
	b := make([]byte, headerIPv4+headerTCP)
	b[0] = versionIPv4<<4 | headerIPv4/4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = defaultTTL, protocolTCP
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b[:headerIPv4], 0))
	t := b[headerIPv4:]
	binary.BigEndian.PutUint16(t, srcPort)
	binary.BigEndian.PutUint16(t[2:], dstPort)
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], ack)
	t[12], t[13] = headerTCP/4<<4, flagRST|flagACK
	binary.BigEndian.PutUint16(t[16:], checksum(t, pseudoHeader(b)))
	return b
}

// pseudoHeader is the sum of the addresses, the protocol and the length, which
// TCP's checksum covers too.
func pseudoHeader(ip []byte) uint32 {
	sum := uint32(protocolTCP) + uint32(len(ip)-headerIPv4)
	for i := 12; i < headerIPv4; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	return sum
}

// checksum is the internet's: the complement of the one's complement sum.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
