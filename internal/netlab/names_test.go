package netlab

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := ServeNames(c)
	defer n.Close()
	n.Set("backend.lab", two, one)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
	addrs, err := r.LookupNetIP(t.Context(), "ip4", "Backend.lab.")
	require.NoError(t, err)
	require.ElementsMatch(t, []netip.Addr{one, two}, addrs)

	n.Set("backend.lab", one)
	addrs, err = r.LookupNetIP(t.Context(), "ip", "backend.lab.")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{one}, addrs)

	var noSuch *net.DNSError
	_, err = r.LookupNetIP(t.Context(), "ip", "other.lab.")
	require.ErrorAs(t, err, &noSuch)
	require.True(t, noSuch.IsNotFound)
}

func TestNamesIgnoreWhatIsNoQuestion(t *testing.T) {
	n := &Names{}
	for _, query := range [][]byte{nil, make([]byte, dnsHeader), append(make([]byte, 5), 1, 0, 0, 0, 0, 0, 0, 200, 1), {5: 1, 11: 0, 12: 3}, {5: 1, 15: 0}} {
		require.Nil(t, n.reply(query))
	}
}
