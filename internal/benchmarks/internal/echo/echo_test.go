package echo

import (
	"bytes"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	BeServer()
	// The peers have started goroutines when they were imported.
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// TestServers has each server, in a process of its own, echo a frame at a time
// and many at once.
func TestServers(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each process takes a second to end
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		t.Run(name, func(t *testing.T) {
			before := openFiles(t)
			p, err := Start(name)
			require.NoError(t, err)
			c, err := p.Dial()
			require.NoError(t, err)
			require.NoError(t, RoundTrip(c, Frame(), make([]byte, 2+Payload)))

			many := bytes.Repeat(Frame(), 1000)
			go func() { _, _ = c.Write(many) }()
			got := make([]byte, len(many))
			_, err = io.ReadFull(c, got)
			require.NoError(t, err)
			require.NoError(t, Same(many, got))

			used, err := p.CPU()
			require.NoError(t, err)
			require.Positive(t, used)
			stacks, err := p.Collect()
			require.NoError(t, err)
			require.Positive(t, stacks)
			rss, err := p.RSS()
			require.NoError(t, err)
			require.Greater(t, rss, stacks)
			require.NoError(t, c.Close())
			require.NoError(t, p.Stop())
			require.Equal(t, before, openFiles(t))
			_, err = net.Dial("tcp", p.Addr)
			require.Error(t, err, "the process is gone")
		})
	}
}

// TestSlowServers has each server block in its handler.
func TestSlowServers(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, name := range []string{Server, Netpoll, Gnet, GnetPool, Nbio} {
		t.Run(name, func(t *testing.T) {
			p, err := StartSlow(name, 20*time.Millisecond)
			require.NoError(t, err)
			c, err := p.Dial()
			require.NoError(t, err)
			begun := time.Now()
			require.NoError(t, RoundTrip(c, Frame(), make([]byte, 2+Payload)))
			require.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
			require.NoError(t, c.Close())
			require.NoError(t, p.Stop())
		})
	}
}

func openFiles(t *testing.T) int {
	files, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	return len(files)
}

func TestStartOfNoServer(t *testing.T) {
	stderr := os.Stderr
	defer func() { os.Stderr = stderr }()
	os.Stderr = nil // the child says what is wrong
	_, err := Start("nobody")
	require.ErrorContains(t, err, "nobody")
}

func TestRoundTripComparesTheAnswer(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 2+Payload))
		_, _ = far.Write(make([]byte, 2+Payload))
	}()
	require.ErrorContains(t, RoundTrip(near, Frame(), make([]byte, 2+Payload)), "not what was sent")
	require.NoError(t, near.Close())
	require.ErrorIs(t, RoundTrip(near, Frame(), make([]byte, 2+Payload)), io.ErrClosedPipe)
}
