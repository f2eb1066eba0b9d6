package conn

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

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

// An address that another overtook is tried last for a minute, or until it works.
func TestAddressesThatWereOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m addrMemory
		all := []string{"a", "b", "c"}
		require.Equal(t, all, m.sort(all))
		m.worked(all, "c")
		require.Equal(t, []string{"c", "a", "b"}, m.sort(all))
		time.Sleep(badFor - 1)
		require.Equal(t, []string{"c", "a", "b"}, m.sort(all))
		time.Sleep(time.Nanosecond)
		require.Equal(t, all, m.sort(all), "a minute later")

		m.worked(all, "c")
		m.worked([]string{"c", "a"}, "a")
		require.Equal(t, []string{"a", "b", "c"}, m.sort([]string{"b", "c", "a"}), "a has worked")
	})
}

// The memory is bounded: when it is full it begins anew.
func TestAddressMemoryIsBounded(t *testing.T) {
	var m addrMemory
	var many []string
	for i := range maxBad + 1 {
		many = append(many, fmt.Sprint(i))
	}
	m.worked(many, many[maxBad])
	require.Len(t, m.bad, maxBad)
	m.worked([]string{"one more", "good"}, "good")
	require.Len(t, m.bad, 1)
	require.Contains(t, m.bad, "one more")
}

// late is a context whose time is over, although its timer has not fired.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-1), true }

func TestHasEnded(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	inTime, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.True(t, hasEnded(canceled))
	require.True(t, hasEnded(late{t.Context()}))
	require.False(t, hasEnded(inTime))
	require.False(t, hasEnded(t.Context()))
}
