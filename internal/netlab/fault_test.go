package netlab

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	one = netip.MustParseAddr("10.77.0.1")
	two = netip.MustParseAddr("10.77.0.2")
	at  = time.Unix(1000, 0)
)

// segment is a TCP packet from one to two.
func segment(flags byte, payload int) packet {
	raw := append(reset(one, two, 4000, 80, 100, 200), make([]byte, payload)...)
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)))
	raw[headerIPv4+13] = flags
	p, ok := parse(raw)
	if !ok {
		panic("bug: a packet of our own does not parse")
	}
	return p
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   Fault
		packet  packet
		idle    time.Duration
		arrives []time.Duration // after how long; none: dropped
	}{
		{"none", Fault{}, segment(flagACK, 100), 0, []time.Duration{0}},
		{"loss", Fault{Loss: 1}, segment(flagACK, 100), 0, nil},
		{"block", Fault{Block: true}, segment(flagACK, 0), 0, nil},
		{"delay", Fault{Delay: time.Second}, segment(flagACK, 0), 0, []time.Duration{time.Second}},
		{"reorder", Fault{Reorder: 1}, segment(flagACK, 0), 0, []time.Duration{reorderDelay}},
		{"duplicate", Fault{Duplicate: 1}, segment(flagACK, 0), 0, []time.Duration{0, 0}},
		{"rate", Fault{Rate: 1000}, segment(flagACK, 960), 0, []time.Duration{time.Second}},
		{"MTU", Fault{MTU: 139}, segment(flagACK, 100), 0, nil},
		{"within the MTU", Fault{MTU: 140}, segment(flagACK, 100), 0, []time.Duration{0}},
		{"SYN", Fault{DropSYN: true}, segment(flagSYN, 0), 0, nil},
		{"SYN's reply", Fault{DropSYN: true}, segment(flagSYN|flagACK, 0), 0, []time.Duration{0}},
		{"idle", Fault{DropIdle: time.Minute}, segment(flagACK, 0), time.Minute + 1, nil},
		{"not idle", Fault{DropIdle: time.Minute}, segment(flagACK, 0), time.Minute, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &direction{fault: c.fault, dead: map[flow]bool{}}
			forth, back := d.pass(at, c.packet, c.idle, seeded())
			require.Nil(t, back)
			var arrives []time.Duration
			for _, f := range forth {
				arrives = append(arrives, f.at.Sub(at))
			}
			require.Equal(t, c.arrives, arrives)
		})
	}
}

func TestRateDropsWhatWouldWaitLong(t *testing.T) {
	d := &direction{fault: Fault{Rate: 1000}, dead: map[flow]bool{}}
	for _, want := range []int{1, 1, 1, 0, 0} { // 100 ms each
		forth, _ := d.pass(at, segment(flagACK, 60), 0, seeded())
		require.Len(t, forth, want)
	}
}

func TestCorruptChangesOneBit(t *testing.T) {
	d := &direction{fault: Fault{Corrupt: 1}, dead: map[flow]bool{}}
	p, same := segment(flagACK, 10), segment(flagACK, 10)
	forth, _ := d.pass(at, p, 0, seeded())
	require.Len(t, forth, 1)
	bits := 0
	for i, b := range forth[0].raw {
		for x := b ^ same.raw[i]; x != 0; x &= x - 1 {
			bits++
		}
	}
	require.Equal(t, 1, bits)
}

func TestIdleConnectionStaysForgotten(t *testing.T) {
	d := &direction{fault: Fault{DropIdle: time.Minute}, dead: map[flow]bool{}}
	for _, c := range []struct {
		flags byte
		idle  time.Duration
		want  int
	}{{flagACK, time.Hour, 0}, {flagACK, 0, 0}, {flagSYN, 0, 1}, {flagACK, 0, 1}} {
		forth, _ := d.pass(at, segment(c.flags, 0), c.idle, seeded())
		require.Len(t, forth, c.want)
	}
}

func TestResetGoesToBothEnds(t *testing.T) {
	d := &direction{fault: Fault{Reset: 1}, dead: map[flow]bool{}}
	forth, back := d.pass(at, segment(flagACK, 7), 0, seeded())
	require.Len(t, forth, 1)
	for _, c := range []struct {
		raw      []byte
		src, dst netip.Addr
		seq, ack uint32
	}{{forth[0].raw, one, two, 100, 200}, {back, two, one, 200, 107}} {
		p, ok := parse(c.raw)
		require.True(t, ok)
		require.Equal(t, []any{c.src, c.dst}, []any{p.src, p.dst})
		require.Equal(t, byte(flagRST|flagACK), p.flags())
		require.Equal(t, []uint32{c.seq, c.ack}, []uint32{binary.BigEndian.Uint32(p.tcp[4:]), binary.BigEndian.Uint32(p.tcp[8:])})
		require.Zero(t, checksum(p.raw[:headerIPv4], 0))
		require.Zero(t, checksum(p.tcp, pseudoHeader(p.raw)))
	}
}

func TestParseRefusesWhatIsNotWhole(t *testing.T) {
	whole := segment(flagACK, 0).raw
	for n := range headerIPv4 {
		_, ok := parse(whole[:n])
		require.False(t, ok)
	}
	p, ok := parse(whole[:headerIPv4+headerTCP-1])
	require.True(t, ok)
	require.Nil(t, p.tcp)
	v6 := append([]byte{0x60}, whole[1:]...)
	_, ok = parse(v6)
	require.False(t, ok)
}

func TestFlowIsTheSameFromBothSides(t *testing.T) {
	p := segment(flagACK, 0)
	there, ok := parse(p.resets()[1])
	require.True(t, ok)
	require.Equal(t, p.flow(), there.flow())
}
