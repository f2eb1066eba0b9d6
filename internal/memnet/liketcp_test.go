package memnet_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// network makes connected pairs; both of the networks below must show the
// same behaviour, which is the claim this package makes.
type network struct {
	name  string
	pair  func(t *testing.T) (a, b net.Conn)
	reset func(net.Conn) error
}

var networks = []network{
	{"memnet", func(*testing.T) (net.Conn, net.Conn) { return memnet.Pipe() },
		func(c net.Conn) error { return c.(*memnet.Conn).Reset() }},
	{"tcp", tcpPair, func(c net.Conn) error {
		return errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close())
	}},
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	if runtime.GOOS != "linux" {
		t.Skip("the comparison is with Linux's TCP")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err = l.Accept()
	require.NoError(t, err)
	return a, b
}

// step is one operation and what it must give.
type step struct {
	end   string // "a" or "b"
	op    string // what run understands
	bytes int
	want  error // by errors.Is; nil is success
}

var scenarios = []struct {
	name  string
	steps []step
}{
	{"bytes written before a close are read, then EOF", []step{
		{"a", "write", 5, nil}, {"a", "close", 0, nil},
		{"b", "read", 5, nil}, {"b", "read", 0, io.EOF}, {"b", "read", 0, io.EOF}}},
	{"half close leaves the other direction", []step{
		{"a", "closewrite", 0, nil}, {"b", "read", 0, io.EOF},
		{"b", "write", 3, nil}, {"a", "read", 3, nil}, {"a", "write", 0, syscall.EPIPE}}},
	{"both half close", []step{
		{"a", "closewrite", 0, nil}, {"b", "read", 0, io.EOF},
		{"b", "closewrite", 0, nil}, {"a", "read", 0, io.EOF}, {"a", "close", 0, nil}}},
	{"first write after the peer's close succeeds, the next does not", []step{
		{"a", "close", 0, nil}, {"b", "read", 0, io.EOF},
		{"b", "write", 4, nil}, {"b", "settle", 0, nil},
		{"b", "write", 0, syscall.EPIPE}, {"b", "read", 0, io.EOF}}},
	{"reset is told once to a reader", []step{
		{"a", "reset", 0, nil}, {"b", "read", 0, syscall.ECONNRESET},
		{"b", "read", 0, io.EOF}, {"b", "write", 0, syscall.EPIPE}}},
	{"reset is told once to a writer", []step{
		{"a", "reset", 0, nil}, {"b", "settle", 0, nil}, {"b", "write", 0, syscall.ECONNRESET},
		{"b", "write", 0, syscall.EPIPE}, {"b", "read", 0, io.EOF}}},
	{"what came before a reset can still be read", []step{
		{"a", "write", 6, nil}, {"b", "read", 1, nil}, {"a", "reset", 0, nil}, {"b", "settle", 0, nil},
		{"b", "read", 5, nil}, {"b", "read", 0, syscall.ECONNRESET}, {"b", "read", 0, io.EOF}}},
	{"close with bytes unread resets", []step{
		{"b", "write", 7, nil}, {"a", "read", 1, nil}, {"a", "close", 0, nil},
		{"b", "read", 0, syscall.ECONNRESET}}},
	{"expired deadline fails a read though bytes are there, and can be taken back", []step{
		{"a", "write", 2, nil}, {"b", "read", 1, nil}, {"b", "past", 0, nil},
		{"b", "read", 0, os.ErrDeadlineExceeded}, {"b", "write", 0, os.ErrDeadlineExceeded},
		{"b", "never", 0, nil}, {"b", "read", 1, nil}, {"b", "write", 1, nil}, {"a", "read", 1, nil}}},
	{"a closed end refuses everything", []step{
		{"a", "close", 0, nil}, {"a", "read", 0, net.ErrClosed}, {"a", "write", 0, net.ErrClosed},
		{"a", "close", 0, net.ErrClosed}, {"a", "closewrite", 0, net.ErrClosed}, {"a", "never", 0, net.ErrClosed}}},
	{"close write after a reset", []step{
		{"a", "reset", 0, nil}, {"b", "read", 0, syscall.ECONNRESET}, {"b", "closewrite", 0, syscall.ENOTCONN}}},
}

func TestLikeTCP(t *testing.T) {
	for _, s := range scenarios {
		for _, n := range networks {
			t.Run(s.name+"/"+n.name, func(t *testing.T) {
				a, b := n.pair(t)
				defer a.Close()
				defer b.Close()
				for i, st := range s.steps {
					c := map[string]net.Conn{"a": a, "b": b}[st.end]
					got, err := run(t, n, c, st)
					require.ErrorIs(t, err, st.want, "step %d: %s %s", i, st.end, st.op)
					require.Equal(t, st.bytes, got, "step %d: %s %s", i, st.end, st.op)
					requireShape(t, st, err)
				}
			})
		}
	}
}

// requireShape: io.EOF is bare and everything else is a *net.OpError that
// answers Timeout truthfully.
func requireShape(t *testing.T, st step, err error) {
	switch st.want {
	case nil:
	case io.EOF:
		require.Equal(t, io.EOF, err)
	default:
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.NotEmpty(t, op.Error())
		require.Equal(t, st.want == os.ErrDeadlineExceeded, op.Timeout())
	}
}

func run(t *testing.T, n network, c net.Conn, st step) (int, error) {
	switch st.op {
	case "read":
		got, err := io.ReadAtLeast(c, make([]byte, max(st.bytes, 1)), max(st.bytes, 1))
		return got, err
	case "write":
		return c.Write(make([]byte, max(st.bytes, 1)))
	case "close":
		return 0, c.Close()
	case "closewrite":
		return 0, c.(interface{ CloseWrite() error }).CloseWrite()
	case "reset":
		return 0, n.reset(c)
	case "past":
		return 0, c.SetDeadline(time.Unix(1, 0))
	case "never":
		return 0, c.SetDeadline(time.Time{})
	case "settle":
		settle(t, c)
		return 0, nil
	}
	t.Fatalf("no operation %q", st.op)
	return 0, nil
}

// settle waits until the kernel has delivered a reset; in memory it has already.
func settle(t *testing.T, c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	require.Eventually(t, func() bool { return tcpClosed(t, tcp) }, 5*time.Second, time.Millisecond)
}
