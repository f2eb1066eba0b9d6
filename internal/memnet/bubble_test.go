package memnet_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

func TestDeadlineEndsABlockedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pipe()
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(time.Hour)))
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(start))

		require.NoError(t, a.SetReadDeadline(time.Time{}))
		go func() { time.Sleep(time.Minute); _, _ = b.Write([]byte("x")) }()
		n, err := a.Read(make([]byte, 8))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
}

func TestDeadlineMovedWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := memnet.Pipe()
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(time.Second)))
		go func() {
			time.Sleep(time.Second / 2)
			_ = a.SetReadDeadline(start.Add(time.Minute))
		}()
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestWriteBlocksWhenThePeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.PipeSize(1000)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := a.Write(make([]byte, 1500))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 1000, n)

		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		done := make(chan error, 1)
		go func() { _, err := a.Write(make([]byte, 10)); done <- err }()
		synctest.Wait()
		require.Empty(t, done)
		_, err = io.ReadFull(b, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, <-done)
	})
}

func TestCloseWakesBothDirections(t *testing.T) {
	for _, c := range []struct {
		name        string
		close       func(a, b *memnet.Conn) error
		read, write error
	}{
		{"own close", func(a, _ *memnet.Conn) error { return a.Close() }, net.ErrClosed, net.ErrClosed},
		{"half close", func(a, _ *memnet.Conn) error { return a.CloseWrite() }, nil, syscall.EPIPE},
		{"peer's half close", func(_, b *memnet.Conn) error { return b.CloseWrite() }, io.EOF, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memnet.PipeSize(1)
				reads, writes := make(chan error, 1), make(chan error, 1)
				go func() { _, err := a.Read(make([]byte, 1)); reads <- err }()
				go func() { _, err := a.Write([]byte("ab")); writes <- err }()
				synctest.Wait()
				require.NoError(t, c.close(a, b))
				synctest.Wait()
				requireOutcome(t, reads, c.read)
				requireOutcome(t, writes, c.write)
				_, _ = a.Close(), b.Close()
			})
		})
	}
}

// requireOutcome: a nil want is an operation that must still be blocked.
func requireOutcome(t *testing.T, got chan error, want error) {
	t.Helper()
	if want == nil {
		require.Empty(t, got)
		return
	}
	require.ErrorIs(t, <-got, want)
}

func TestConcurrentWritesDoNotInterleave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.PipeSize(7)
		const writers, size = 20, 100
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { _, _ = a.Write(bytes.Repeat([]byte{byte(i)}, size)) })
		}
		seen := map[byte]bool{}
		for range writers {
			p := make([]byte, size)
			_, err := io.ReadFull(b, p)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat(p[:1], size), p)
			require.False(t, seen[p[0]])
			seen[p[0]] = true
		}
		wg.Wait()
	})
}

func TestStreamOfEverySize(t *testing.T) {
	for _, size := range []int{0, 1, 2, 511, 512, 513, 7000} {
		a, b := memnet.PipeSize(size)
		sent := make([]byte, 20_000)
		for i := range sent {
			sent[i] = byte(i * 7 >> 3)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for p := sent; len(p) > 0; {
				n, _ := a.Write(p[:min(len(p), 1+len(p)%997)])
				p = p[n:]
			}
			_ = a.Close()
		})
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got))
		wg.Wait()
	}
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server:1")
		l.BufferSize = 3
		require.Equal(t, "server:1", l.Addr().String())
		require.Equal(t, "mem", l.Addr().Network())

		client, err := l.Dial(context.Background())
		require.NoError(t, err)
		server, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, client.LocalAddr(), server.RemoteAddr())
		require.Equal(t, client.RemoteAddr(), server.LocalAddr())
		require.Equal(t, l.Addr(), server.LocalAddr())
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(1)))
		n, err := client.Write([]byte("abcd"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 3, n)

		ip := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9}
		_, err = l.DialFrom(context.Background(), ip)
		require.NoError(t, err)
		server, err = l.Accept()
		require.NoError(t, err)
		require.Equal(t, ip, server.RemoteAddr())

		l.FailAccept(syscall.EMFILE)
		_, err = l.Accept()
		require.ErrorIs(t, err, syscall.EMFILE)
	})
}

func TestListenerRefuses(t *testing.T) {
	l := memnet.Listen("x")
	l.Refuse(true)
	_, err := l.Dial(context.Background())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	l.Refuse(false)
	_, err = l.Dial(context.Background())
	require.NoError(t, err)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = l.Dial(cancelled)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, l.Close())
}

func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("x")
		waiting, err := l.Dial(context.Background())
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = waiting.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = l.Dial(context.Background())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorIs(t, l.Close(), net.ErrClosed)
	})
}

func TestListenerCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("x")
		done := make(chan error, 1)
		go func() { _, err := l.Accept(); done <- err }()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

func TestFullBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("x")
		var err error
		dialed := 0
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for ; err == nil; dialed++ {
			_, err = l.Dial(ctx)
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 129, dialed)

		done := make(chan error, 1)
		go func() { _, err := l.Dial(context.Background()); done <- err }()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-done, syscall.ECONNREFUSED)
	})
}
