package server_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// acceptError is what a socket's Accept returns.
func acceptError(errno syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)}
}

// temporary is an error of a listener that is no socket.
type temporary bool

func (t temporary) Error() string   { return "listener hiccup" }
func (t temporary) Temporary() bool { return bool(t) }

// closedTemporary says that it passes, but a closed listener does not.
type closedTemporary struct{ temporary }

func (closedTemporary) Unwrap() error { return net.ErrClosed }

func TestAcceptErrorsThatPass(t *testing.T) {
	for _, err := range []error{
		acceptError(syscall.EMFILE), acceptError(syscall.ENFILE), acceptError(syscall.ENOBUFS),
		acceptError(syscall.ENOMEM), acceptError(syscall.ECONNABORTED), acceptError(syscall.EPROTO),
		acceptError(syscall.ENETDOWN), acceptError(syscall.ETIMEDOUT), acceptError(syscall.EHOSTDOWN),
		acceptError(syscall.EPERM), temporary(true), os.ErrDeadlineExceeded,
	} {
		t.Run(err.Error(), func(t *testing.T) {
			l := memnet.Listen("server")
			log := &logbook{}
			s := &server.Server{Handler: echo(), Logger: log.logger()}
			startOn(t, s, l)
			l.FailAccept(err)
			l.FailAccept(err)
			requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
			require.Eventually(t, func() bool { return s.Stat().AcceptErrors == 2 }, patience, time.Millisecond)
			requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
			require.Len(t, log.with("accept failed"), 2)
		})
	}
}

func TestAcceptErrorsThatDoNotPass(t *testing.T) {
	for _, err := range []error{
		acceptError(syscall.EINVAL), acceptError(syscall.ENOTSOCK), acceptError(syscall.EBADF), acceptError(syscall.EFAULT), temporary(false),
		errors.New("too many open files"), // in words only
		closedTemporary{true},
	} {
		t.Run(err.Error(), func(t *testing.T) {
			l := memnet.Listen("server")
			s := &server.Server{Handler: echo()}
			served := make(chan error)
			go func() { served <- s.Serve(l) }()
			c := dialFrom(t, l, tcpAddr("192.0.2.1"))
			requireServed(c)
			l.FailAccept(err)
			got := <-served
			require.ErrorIs(t, got, err)
			require.ErrorContains(t, got, "server")
			require.NotErrorIs(t, got, server.ErrServerClosed)
			requireServed(c) // what was accepted is not touched
			require.NoError(t, s.Close())
			shutdown(t, s)
		})
	}
}

func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server")
		log := &logbook{}
		s := &server.Server{Handler: echo(), Logger: log.logger()}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		began := time.Now()
		for range 12 {
			l.FailAccept(acceptError(syscall.EMFILE))
		}
		// 5, 10, 20, 40, 80, 160, 320, 640 ms, then a second each.
		synctest.Wait()
		time.Sleep(1275*time.Millisecond + 3*time.Second - time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 11, s.Stat().AcceptErrors)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 12, s.Stat().AcceptErrors)
		require.Len(t, log.with("delay=1s"), 4)
		require.Len(t, log.with("delay=5ms"), 1)

		// A server that stops does not wait the delay out.
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		require.Equal(t, 4275*time.Millisecond, time.Since(began))
		shutdown(t, s)
	})
}

// A connection accepted between ends the trouble: the next delay is the first.
func TestAcceptDelayBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server")
		log := &logbook{}
		startOn(t, &server.Server{Handler: echo(), Logger: log.logger()}, l)
		for range 2 {
			l.FailAccept(acceptError(syscall.EMFILE))
			l.FailAccept(acceptError(syscall.EMFILE))
			time.Sleep(20 * time.Millisecond) // both are waited out
			requireServed(dialFrom(t, l, tcpAddr("192.0.2.1")))
		}
		require.Len(t, log.with("delay=5ms"), 2)
		require.Len(t, log.with("delay=10ms"), 2)
	})
}

func TestListenerClosedBySomebodyElse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server.Server{Handler: echo()}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	c := dial(t, l.Addr().String())
	requireServed(c)
	require.NoError(t, l.Close())
	err = <-served
	require.ErrorIs(t, err, net.ErrClosed)
	require.NotErrorIs(t, err, server.ErrServerClosed)
	requireServed(c)
	shutdown(t, s)
	c.expectEnd()
}

// brokenListener fails for good once it has a deadline.
type brokenListener struct {
	net.Listener
	fails chan struct{}
	once  *sync.Once
}

func (l brokenListener) SetDeadline(time.Time) error {
	l.once.Do(func() { close(l.fails) })
	return nil
}

func (l brokenListener) Accept() (net.Conn, error) {
	<-l.fails
	return nil, errors.New("broken")
}

// A listener that breaks at Shutdown does not hold it up.
func TestListenerThatBreaksAtShutdown(t *testing.T) {
	l := brokenListener{memnet.Listen("server"), make(chan struct{}), new(sync.Once)}
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	require.Zero(t, s.Stat().AcceptErrors)
}
