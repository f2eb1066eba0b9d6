package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestMaxConnsRefusesAtOnceAndCounts(t *testing.T) {
	for _, most := range []int{1, 2} {
		s := &server.Server{Handler: echo(), MaxConns: most}
		addr := start(t, s)
		var held []*client
		for range most {
			c := dial(t, addr)
			requireServed(c)
			held = append(held, c)
		}
		_, err := dial(t, addr).Read(make([]byte, 1))
		require.Error(t, err)
		require.False(t, errors.Is(err, context.DeadlineExceeded))
		require.EqualValues(t, 1, s.Stat().RefusedMaxConns)
		require.Equal(t, most, s.Stat().Open)

		require.NoError(t, held[0].Close())
		require.Eventually(t, func() bool { return s.Stat().Open == most-1 }, patience, time.Millisecond)
		requireServed(dial(t, addr))
		require.EqualValues(t, most+2, s.Stat().Accepted)
	}
}

// Connections end in any order, and the figures are of those that are left.
func TestConnectionsThatEndInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		s := &server.Server{Handler: echo()}
		addr := start(t, s)
		var open []*client
		for range order {
			c := dial(t, addr)
			requireServed(c)
			open = append(open, c)
		}
		left := []uint64{1, 2, 3}
		for _, i := range order {
			require.NoError(t, open[i].Close())
			left = slices.DeleteFunc(left, func(id uint64) bool { return id == uint64(i+1) })
			require.Eventually(t, func() bool { return s.Stat().Handlers == len(left) }, patience, time.Millisecond)
			var ids []uint64
			for st := range s.Conns() {
				ids = append(ids, st.ID)
			}
			require.ElementsMatch(t, left, ids)
			require.EqualValues(t, 3, s.Stat().Requests)
		}
	}
}

func TestMaxConnsPerIP(t *testing.T) {
	for name, tc := range map[string]struct {
		v4, v6           int
		first            []string // fill the limit of two
		refused, allowed string
	}{
		"IPv4":          {first: []string{"192.0.2.1", "192.0.2.1"}, refused: "192.0.2.1", allowed: "192.0.2.2"},
		"IPv4 prefix":   {v4: 24, first: []string{"192.0.2.1", "192.0.2.2"}, refused: "192.0.2.3", allowed: "192.0.3.1"},
		"IPv6":          {first: []string{"2001:db8::1", "2001:db8::1"}, refused: "2001:db8::1", allowed: "2001:db8::2"},
		"IPv6 prefix":   {v6: 64, first: []string{"2001:db8::1", "2001:db8::2"}, refused: "2001:db8::3", allowed: "2001:db8:0:1::1"},
		"one bit":       {v4: 1, first: []string{"192.0.2.1", "200.0.0.1"}, refused: "250.0.0.1", allowed: "10.0.0.1"},
		"mapped":        {first: []string{"192.0.2.1", "::ffff:192.0.2.1"}, refused: "192.0.2.1", allowed: "::192.0.2.1"},
		"v4 by its own": {v6: 64, first: []string{"::ffff:192.0.2.1", "192.0.2.1"}, refused: "192.0.2.1", allowed: "192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			l := memnet.Listen("server")
			s := &server.Server{Handler: echo(), MaxConnsPerIP: 2, IPv4Prefix: tc.v4, IPv6Prefix: tc.v6}
			startOn(t, s, l)
			var held []*client
			for _, ip := range tc.first {
				held = append(held, dialFrom(t, l, tcpAddr(ip)))
				requireServed(held[len(held)-1])
			}
			requireRefused(t, dialFrom(t, l, tcpAddr(tc.refused)))
			require.EqualValues(t, 1, s.Stat().RefusedPerIP)
			requireServed(dialFrom(t, l, tcpAddr(tc.allowed)))

			require.NoError(t, held[0].Close())
			require.Eventually(t, func() bool { return s.Stat().Open == 2 }, patience, time.Millisecond)
			requireServed(dialFrom(t, l, tcpAddr(tc.refused)))
		})
	}
}

func TestMaxConnsPerIPReadsOtherAddresses(t *testing.T) {
	l := memnet.Listen("server")
	s := &server.Server{Handler: echo(), MaxConnsPerIP: 1}
	startOn(t, s, l)
	requireServed(dialFrom(t, l, memnet.Addr("[2001:db8::1]:7")))
	requireRefused(t, dialFrom(t, l, memnet.Addr("[2001:db8::1]:8")))
	for range 3 { // no IP address: not counted
		requireServed(dialFrom(t, l, memnet.Addr("somewhere")))
	}
}

// proxied accepts connections of which the first has an address that is known late, as
// behind a proxy.
type proxied struct {
	net.Listener
	first *sync.Once
	asked chan struct{}
	let   chan struct{}
}

type proxiedConn struct {
	net.Conn
	l proxied
}

func (l proxied) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return proxiedConn{nc, l}, err
}

func (c proxiedConn) RemoteAddr() net.Addr {
	c.l.first.Do(func() {
		close(c.l.asked)
		<-c.l.let
	})
	return tcpAddr("192.0.2.1")
}

// A connection that is closed before its address is known is neither counted nor served.
func TestMaxConnsPerIPOfAConnectionThatHasEnded(t *testing.T) {
	inner := memnet.Listen("server")
	l := proxied{inner, new(sync.Once), make(chan struct{}), make(chan struct{})}
	served := make(chan struct{}, 1)
	s := &server.Server{MaxConnsPerIP: 1, Handler: server.HandlerFunc(func(context.Context, *conn.Conn) { served <- struct{}{} })}
	startOn(t, s, l)
	nc, err := inner.Dial(t.Context())
	require.NoError(t, err)
	<-l.asked
	require.True(t, s.CloseConn(1))
	close(l.let)
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
	require.Empty(t, served)
	require.NoError(t, nc.Close())
	nc, err = inner.Dial(t.Context())
	require.NoError(t, err)
	<-served
	require.NoError(t, nc.Close())
}

func tcpAddr(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234} }

func dialFrom(t *testing.T, l *memnet.Listener, from net.Addr) *client {
	t.Helper()
	nc, err := l.DialFrom(context.Background(), from)
	require.NoError(t, err)
	return newClient(t, nc)
}

func requireServed(c *client) {
	c.t.Helper()
	c.send("hello")
	c.expect("hello")
}

func requireRefused(t *testing.T, c *client) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	require.Error(t, err)
	require.False(t, errors.As(err, &ne) && ne.Timeout(), "refused, not ignored")
}

func TestValidateNamesTheField(t *testing.T) {
	handle := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	appendTo := func(_ context.Context, dst, _ []byte) ([]byte, error) { return dst, nil }
	for field, s := range map[string]*server.Server{
		"Handler":          {},
		"IPv4Prefix":       {Handler: echo(), IPv4Prefix: 33},
		"IPv6Prefix":       {Handler: echo(), IPv6Prefix: 129},
		"Handle":           {Handler: &server.FrameHandler{}},
		"Append":           {Handler: &server.FrameHandler{Handle: handle, Append: appendTo}},
		"Envelope":         {Handler: &server.FrameHandler{Handle: handle, Envelope: true, Deadline: func([]byte) time.Duration { return 0 }}},
		"whose Strip is 0": {Handler: &server.FrameHandler{Handle: handle, Envelope: true, Format: framing.Format{Strip: -1}}},
		"HeaderSize":       {Handler: &server.FrameHandler{Handle: handle, Format: framing.Format{HeaderSize: 5}}},
		"TLSConfig":        {Handler: echo(), TLSConfig: &tls.Config{}},
		"Format: ":         {Handler: &server.FrameHandler{Handle: handle, Format: framing.Format{HeaderSize: 5}, Goodbye: []byte("bye")}},
	} {
		require.ErrorContains(t, s.Validate(), field)
		require.ErrorContains(t, s.ListenAndServe("tcp", "127.0.0.1:0"), field)
		l := memnet.Listen("server")
		require.ErrorContains(t, s.Serve(l), field)
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

func TestValidateAcceptsTheLimits(t *testing.T) {
	handle := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	require.NoError(t, (&server.Server{Handler: echo(), IPv4Prefix: 24, IPv6Prefix: 64, MaxConns: -1}).Validate())
	require.NoError(t, (&server.Server{Handler: echo(), IPv4Prefix: 32, IPv6Prefix: 128}).Validate())
	require.NoError(t, (&server.Server{Handler: echo(), TLSConfig: &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
	}}).Validate())
	require.NoError(t, (&server.Server{Handler: echo(), TLSConfig: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
	}}).Validate())
	for name, h := range map[string]*server.FrameHandler{
		"two at a time, in any order": {Handle: handle, Concurrency: 2, Unordered: true},
		"frames that are never empty": {Handle: handle, Format: framing.Format{Strip: -1}},
		"and with a goodbye":          {Handle: handle, Format: framing.Format{Strip: -1}, Goodbye: []byte("\x00\x03bye")},
		"a Limiter of one":            {Handle: handle, Limiter: &server.Limiter{Max: 1, Min: 1}},
	} {
		require.NoError(t, (&server.Server{Handler: h}).Validate(), name)
	}
}

// A connection that is refused takes no time of the server's: it does not linger.
func TestRefusedConnectionIsClosedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server.Server{Handler: echo(), MaxConnsPerIP: 1}
		l := newMemServer(t, s)
		held := dialFrom(t, l, tcpAddr("192.0.2.1"))
		synctest.Wait()
		refused := dialFrom(t, l, tcpAddr("192.0.2.1"))
		synctest.Wait()
		require.Equal(t, 1, s.Stat().Handlers)
		require.NoError(t, refused.Close())
		require.NoError(t, held.Close())
	})
}
