package netlab_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/netlab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLab(t *testing.T, names ...string) *netlab.Lab {
	t.Helper()
	if err := netlab.Available(); err != nil {
		t.Skip(err)
	}
	l, err := netlab.New(1, names...)
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err) // a container may forbid what root may do elsewhere
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// pair is a connection from host a to host b.
func pair(t *testing.T, a, b *netlab.Host) (ca, cb net.Conn) {
	t.Helper()
	var l net.Listener
	require.NoError(t, b.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(b.Addr.String(), "0"))
		return err
	}))
	defer l.Close()
	require.NoError(t, a.Do(func() (err error) {
		ca, err = net.Dial("tcp4", l.Addr().String())
		return err
	}))
	cb, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = ca.Close(), cb.Close() })
	return ca, cb
}

func say(t *testing.T, from, to net.Conn, what string) {
	t.Helper()
	_, err := io.WriteString(from, what)
	require.NoError(t, err)
	heard := make([]byte, len(what))
	require.NoError(t, to.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.ReadFull(to, heard)
	require.NoError(t, err)
	require.Equal(t, what, string(heard))
}

func TestHostsTalk(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	say(t, ca, cb, "there")
	say(t, cb, ca, "and back")
	out, err := a.Command(t.Context(), "cat", "/proc/net/dev").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "lab0")
}

func TestBlockedLinkIsSilentAndHeals(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	l.Break(a, b, netlab.Fault{Block: true})
	_, err := io.WriteString(ca, "lost, then repeated by TCP")
	require.NoError(t, err)
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = cb.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	say(t, cb, ca, "the other way is open")
	l.Break(a, b, netlab.Fault{})
	say(t, ca, cb, "")
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.ReadFull(cb, make([]byte, 26))
	require.NoError(t, err)
}

func TestDroppedFlowDoesNotTouchNewOnes(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	say(t, ca, cb, "before")
	l.BreakBoth(a, b, netlab.Fault{DropBusy: true})
	_, err := io.WriteString(ca, "lost")
	require.NoError(t, err)
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = cb.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	ca, cb = pair(t, a, b)
	say(t, ca, cb, "a new one")
}

func TestResetReachesBothEnds(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	say(t, ca, cb, "before")
	l.Break(a, b, netlab.Fault{Reset: 1})
	_, err := io.WriteString(ca, "x")
	require.NoError(t, err)
	for _, c := range []net.Conn{ca, cb} {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestLossyLinkLosesNoByteOfTCP(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	l.BreakBoth(a, b, netlab.Fault{Loss: 0.02, Duplicate: 0.1, Corrupt: 0.02, Reorder: 0.1, Delay: time.Millisecond, Jitter: time.Millisecond})
	const size = 1 << 18
	sent := make(chan error, 1)
	go func() {
		_, err := ca.Write(make([]byte, size))
		sent <- err
	}()
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(60*time.Second)))
	_, err := io.ReadFull(cb, make([]byte, size))
	require.NoError(t, err)
	require.NoError(t, <-sent)
}

func TestHostThatIsDown(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.Host("a"), l.Host("b")
	ca, cb := pair(t, a, b)
	b.SetDown(true)
	_, err := io.WriteString(ca, "x")
	require.NoError(t, err)
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = cb.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	b.SetDown(false)
	require.NoError(t, cb.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = cb.Read(make([]byte, 1))
	require.NoError(t, err)
}
