package server_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

// On a busy machine a goroutine may be held up between setting a deadline and reading.
// A read whose deadline has passed says that nothing came, whatever is there.

// heldUpListener accepts sockets whose owner is held up for a while behind its next
// deadline that has not passed.
type heldUpListener struct {
	net.Listener
	by     *atomic.Int64
	always bool // not once, but behind every one
}

type heldUpConn struct {
	*net.TCPConn
	l heldUpListener
}

func (l heldUpListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return heldUpConn{nc.(*net.TCPConn), l}, nil
}

func (c heldUpConn) SetReadDeadline(t time.Time) error {
	err := c.TCPConn.SetReadDeadline(t)
	if t.After(time.Now()) {
		by := c.l.by.Load()
		if !c.l.always {
			c.l.by.Store(0)
		}
		time.Sleep(time.Duration(by))
	}
	return err
}

// What has arrived before Shutdown is handled, although the server is held up for longer
// than it waits for silence.
func TestDrainThatIsHeldUp(t *testing.T) {
	srv, cli := certificates(t)
	for name, by := range map[string]time.Duration{"a little": 30 * time.Millisecond, "for long": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			h, entered, let := gated()
			s := &server.Server{Handler: h}
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			l := heldUpListener{Listener: inner, by: new(atomic.Int64)}
			startOn(t, s, tls.NewListener(l, srv))
			c := dialTLS(t, l.Addr().String(), cli)
			c.send("a")
			<-entered
			c.send("b")
			result := begin(t, s, context.Background())
			l.by.Store(int64(by))
			close(let)
			c.expect("a", "b")
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		})
	}
}

// A server that is held up each time gives up: Shutdown ends.
func TestDrainThatIsHeldUpAlways(t *testing.T) {
	srv, cli := certificates(t)
	h, entered, let := gated()
	s := &server.Server{Handler: h}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := heldUpListener{Listener: inner, by: new(atomic.Int64), always: true}
	startOn(t, s, tls.NewListener(l, srv))
	c := dialTLS(t, l.Addr().String(), cli)
	c.send("a")
	<-entered
	c.send("b")
	result := begin(t, s, context.Background())
	l.by.Store(int64(30 * time.Millisecond))
	close(let)
	c.expect("a")
	_ = c.Close() // whatever became of b
	require.NoError(t, <-result)
}
