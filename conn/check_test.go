package conn_test

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// heldUp is a connection whose user loses its processor for a while right
// after a read deadline was set, as any goroutine may.
type heldUp struct {
	net.Conn
	times *int // how often
}

func (h heldUp) SetReadDeadline(at time.Time) error {
	err := h.Conn.SetReadDeadline(at)
	if *h.times > 0 && time.Until(at) > 0 {
		*h.times--
		for late := at.Add(time.Until(at)); time.Now().Before(late); {
			runtime.Gosched()
		}
	}
	return err
}

// heldUpSocket has a socket below, too.
type heldUpSocket struct{ heldUp }

func (h heldUpSocket) NetConn() net.Conn { return h.Conn }

func TestCheckThatIsHeldUpFindsWhatIsThere(t *testing.T) {
	tests := []struct {
		name string
		pair func(t *testing.T, times *int) (c *conn.Conn, peer net.Conn, arrived func())
	}{
		{"TLS", func(t *testing.T, times *int) (*conn.Conn, net.Conn, func()) {
			c, peer := tlsPair(t)
			return conn.New(heldUpSocket{heldUp{c.NetConn(), times}}), peer, func() { eventuallyReadable(t, c) }
		}},
		{"memory", func(t *testing.T, times *int) (*conn.Conn, net.Conn, func()) {
			c, peer := memoryPair(t)
			return conn.New(heldUp{c.NetConn(), times}), peer, func() {} // what is written is there
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, often := range []int{0, 1, 3} {
				times := 0
				c, peer, arrived := test.pair(t, &times)
				require.NoError(t, c.Check())
				send(t, peer, "x")
				arrived()
				times = often
				require.ErrorIs(t, c.Check(), conn.ErrUnread, "held up %d times", often)
			}
		})
	}
}

// Where no read can be made there is no telling, so the connection is not
// called clean.
func TestCheckThatIsAlwaysHeldUpIsNotClean(t *testing.T) {
	times := 1 << 30
	c, _ := memoryPair(t)
	require.ErrorIs(t, conn.New(heldUp{c.NetConn(), &times}).Check(), conn.ErrBusy)

	c, peer := tlsPair(t)
	send(t, peer, "x")
	eventuallyReadable(t, c)
	require.ErrorIs(t, conn.New(heldUpSocket{heldUp{c.NetConn(), &times}}).Check(), conn.ErrUnread)
}

// ignorant stands above a socket and does not read from it.
type ignorant struct {
	net.Conn
	above net.Conn
}

func (i ignorant) NetConn() net.Conn                  { return i.Conn }
func (i ignorant) Read(p []byte) (int, error)         { return i.above.Read(p) }
func (i ignorant) SetReadDeadline(at time.Time) error { return i.above.SetReadDeadline(at) }

// Bytes that stay in the socket below, whatever is read above, are somebody's.
func TestCheckOfBytesThatNobodyReads(t *testing.T) {
	below, peer := socketPair(t, "tcp", nil)
	above, _ := memoryPair(t)
	c := conn.New(ignorant{below.NetConn(), above.NetConn()})
	require.NoError(t, c.Check())
	send(t, peer, "x")
	eventually(t, conn.ErrUnread, below.Check)
	require.ErrorIs(t, c.Check(), conn.ErrUnread)
}

// eventuallyReadable waits until bytes have arrived in the socket below TLS.
func eventuallyReadable(t *testing.T, c *conn.Conn) {
	t.Helper()
	below := conn.New(c.NetConn().(*tls.Conn).NetConn())
	eventually(t, conn.ErrUnread, below.Check)
}

// What TLS has decrypted and not handed out is as unread as what is in the
// socket, which has none of it left.
func TestCheckSeesWhatTLSHasReadAhead(t *testing.T) {
	for _, size := range []int{8192, 5000} {
		cert := *testCert()
		cert.server = cert.server.Clone()
		cert.server.DynamicRecordSizingDisabled = true
		c, peer := socketPair(t, "tcp", &cert)
		send(t, peer, string(make([]byte, size))) // one record
		_, err := c.ReadFull(make([]byte, 4096))
		require.NoError(t, err)
		require.NoError(t, c.Reusable(), "nothing is in the connection's own buffer")
		require.ErrorIs(t, c.Check(), conn.ErrUnread)
		require.Positive(t, c.Buffered())
	}
}

// The caller's deadline does not keep Check from looking.
func TestCheckOverTLSAfterADeadline(t *testing.T) {
	c, peer := tlsPair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
	require.NoError(t, c.Check())
	send(t, peer, "x")
	eventuallyReadable(t, c)
	require.ErrorIs(t, c.Check(), conn.ErrUnread)
	_, err := c.ReadFull(make([]byte, 2))
	requireTimeout(t, err) // it is in effect again
}

// A look at a TLS connection that has not shaken hands would cut the handshake
// short, which TLS does not survive.
func TestCheckLeavesAHandshakeAlone(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
		s := tls.Server(nc, testCert().server)
		_ = s.Handshake()
		_, _ = s.Write([]byte("x"))
		t.Cleanup(func() { s.Close() })
	})
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	c := conn.New(tls.Client(nc, &tls.Config{RootCAs: testCert().pool, ServerName: "127.0.0.1"}))
	defer c.Close()
	require.NoError(t, c.Check())
	require.NoError(t, readByte(c)())
}

// A read that was held up for longer than the pause it waits for has not seen
// a pause.
func TestReadAvailableThatIsHeldUpReadsOn(t *testing.T) {
	c, peer := tlsPair(t)
	times := 0
	held := conn.New(heldUpSocket{heldUp{c.NetConn(), &times}})
	send(t, peer, "a")
	_, err := held.Peek(1)
	require.NoError(t, err)
	send(t, peer, "bc")
	eventuallyReadable(t, c)
	times = 1
	got, err := held.ReadAvailable(nil, 0, 10*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, "abc", string(got))
}
