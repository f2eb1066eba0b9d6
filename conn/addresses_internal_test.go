package conn

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func ips(texts ...string) (all []netip.Addr) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func TestFamiliesTakeTurns(t *testing.T) {
	for _, c := range []struct{ in, want []netip.Addr }{
		{nil, ips()},
		{ips("192.0.2.1"), ips("192.0.2.1")},
		{ips("192.0.2.1", "192.0.2.2", "2001:db8::1"), ips("192.0.2.1", "2001:db8::1", "192.0.2.2")},
		{ips("192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"), ips("192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3")},
		{ips("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"), ips("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2")},
		{ips("::ffff:192.0.2.1", "192.0.2.2"), ips("192.0.2.1", "192.0.2.2")},
	} {
		require.ElementsMatch(t, c.want, mixed(c.in))
		if len(c.want) > 0 {
			require.Equal(t, c.want, mixed(c.in))
		}
	}
}

func TestOnlyTheLocalAddressesFamilyIsReachable(t *testing.T) {
	both := ips("192.0.2.1", "2001:db8::1")
	for _, c := range []struct {
		local net.Addr
		want  []netip.Addr
	}{
		{nil, both},
		{&net.TCPAddr{}, both},
		{&net.TCPAddr{IP: net.IPv4zero}, both},
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.9")}, both[:1]},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::9")}, both[1:]},
	} {
		require.Equal(t, c.want, (&Dialer{LocalAddr: c.local}).reachable(both))
	}
	require.Equal(t, both[:1], (&Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("2001:db8::9")}}).reachable(both[:1]), "net has an error for it")
}
