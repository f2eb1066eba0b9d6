package server_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

// busyListener has callers that connect again at once: of each connection that it
// accepts another one is made, 2000 in all. It accepts none before Shutdown has given
// it a deadline, so that all are of the backlog.
type busyListener struct {
	*lateListener
	draining sync.Once
	again    []net.Conn // of the goroutine that accepts
}

func (l *busyListener) SetDeadline(t time.Time) error {
	err := l.lateListener.SetDeadline(t)
	l.draining.Do(func() { close(l.let) })
	return err
}

func (l *busyListener) Accept() (net.Conn, error) {
	nc, err := l.lateListener.Accept()
	if err != nil || len(l.again) == 2000 {
		return nc, err
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	l.again = append(l.again, c)
	return nc, nil
}

// Callers that connect again at once do not keep Shutdown from its end: it serves
// those that had connected when it began, and few others.
func TestShutdownUnderCallersThatConnectAgain(t *testing.T) {
	const early, others = 200, 64
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &busyListener{lateListener: &lateListener{tcp.(*net.TCPListener), make(chan struct{})}}
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var asked []*client
	for range early {
		c := dial(t, tcp.Addr().String())
		c.send("early")
		asked = append(asked, c)
	}
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	result := begin(t, s, t.Context())
	for _, c := range asked {
		c.expect("early")
		c.expectEnd()
		require.NoError(t, c.Close())
	}
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	for _, c := range l.again { // the server waits for their end
		require.NoError(t, c.Close())
	}
	require.NoError(t, <-result)
	require.GreaterOrEqual(t, s.Stat().Accepted, uint64(early))
	require.LessOrEqual(t, s.Stat().Accepted, uint64(early+others))
}
