package server_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// drainOfA begins to drain a server without a socket that could be asked, in a bubble,
// while a request "a" is handled. Each request ends when it is let; one without a
// payload ends at once.
func drainOfA(t *testing.T, n int, l net.Listener, dial func() (net.Conn, error), f func(c *client, let chan<- struct{})) {
	let := make(chan struct{})
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		if len(req) > 0 {
			<-let
		}
		return req, nil
	})
	h.Concurrency, h.Goodbye = n, []byte("goodbye")
	s := &server.Server{Handler: h}
	startOn(t, s, l)
	nc, err := dial()
	require.NoError(t, err)
	c := newClient(t, nc)
	require.NoError(t, c.SetDeadline(time.Time{}))
	c.send("a")
	synctest.Wait()
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	synctest.Wait()
	f(c, let)
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
	time.Sleep(time.Second) // what the test has begun ends
}

func eachDrainOfA(t *testing.T, f func(c *client, let chan<- struct{})) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			l := memnet.Listen("server")
			drainOfA(t, n, l, func() (net.Conn, error) { return l.Dial(t.Context()) }, f)
		})
	})
}

// What comes before 20 ms of silence is handled, and no more is waited for.
func TestDrainReadsAheadUntilThePeerIsSilent(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		for _, pause := range []time.Duration{0, 10 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				l := memnet.Listen("server")
				drainOfA(t, n, l, func() (net.Conn, error) { return l.Dial(t.Context()) }, func(c *client, let chan<- struct{}) {
					began := time.Now()
					if n == 0 { // else the reader has begun to wait already
						let <- struct{}{}
						c.expect("a")
					}
					if pause > 0 {
						time.Sleep(pause)
						c.send("")
					}
					if n > 0 {
						time.Sleep(time.Second)
						let <- struct{}{}
						c.expect("a")
					}
					if pause > 0 {
						c.expect("")
					}
					c.expect("goodbye")
					if n == 0 {
						require.Equal(t, pause+20*time.Millisecond, time.Since(began))
					}
				})
			})
		}
	})
}

// What comes behind the point is not handled, though it is there before the goodbye.
func TestDrainEndsBehindWhatWasReadAhead(t *testing.T) {
	eachDrainOfA(t, func(c *client, let chan<- struct{}) {
		time.Sleep(10 * time.Millisecond)
		c.send("b")
		synctest.Wait()
		let <- struct{}{}
		c.expect("a")
		time.Sleep(100 * time.Millisecond)
		c.send("c")
		synctest.Wait()
		let <- struct{}{}
		c.expect("b", "goodbye")
	})
}

// One byte is enough to begin the silence anew, and to begin a request whose rest is
// waited for.
func TestDrainReadsAheadByteByByte(t *testing.T) {
	for _, n := range []int{1, 3} {
		eachDrainOfA(t, func(c *client, let chan<- struct{}) {
			go func() { let <- struct{}{} }()
			c.expect("a")
			for range n {
				time.Sleep(15 * time.Millisecond)
				_, err := c.Write([]byte{0})
				require.NoError(c.t, err)
			}
			if n == 3 {
				c.expect("")
			}
			time.Sleep(time.Second)
			_, err := c.Write([]byte{0})
			require.NoError(c.t, err)
			c.expect("", "goodbye")
		})
	}
}

// A peer that goes on sending is read ahead for 60 ms at most.
func TestDrainReadsAheadForALimitedTime(t *testing.T) {
	eachDrainOfA(t, func(c *client, let chan<- struct{}) {
		go func() { let <- struct{}{} }()
		c.expect("a")
		began := time.Now()
		go func() {
			for err := error(nil); err == nil; {
				time.Sleep(15 * time.Millisecond)
				_, err = c.Write([]byte{0, 0})
			}
		}()
		c.expect("", "", "", "goodbye")
		require.LessOrEqual(c.t, time.Since(began), 60*time.Millisecond)
	})
}

// slowToStop is a listener that takes 10 ms to stop accepting: a connection can see the
// end of the server before Shutdown comes to it.
type slowToStop struct{ net.Listener }

func (l slowToStop) SetDeadline(time.Time) error {
	time.Sleep(10 * time.Millisecond)
	return l.Close()
}

// Shutdown, which wakes all readers, cuts no silence short.
func TestDrainReadsAheadWhileShutdownWakesTheReader(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			l := memnet.Listen("server")
			dial := func() (net.Conn, error) { return l.Dial(t.Context()) }
			drainOfA(t, n, slowToStop{l}, dial, func(c *client, let chan<- struct{}) {
				go func() { let <- struct{}{} }()
				c.expect("a")
				time.Sleep(15 * time.Millisecond)
				c.send("")
				c.expect("", "goodbye")
			})
		})
	})
}

// A request that has arrived in part when Shutdown begins is no point: what follows it
// within the silence is handled too.
func TestDrainReadsAheadBehindAPartOfARequest(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := echo()
		h.Concurrency, h.Goodbye = n, []byte("goodbye")
		inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
			c := newClient(t, nc)
			_, err := c.Write([]byte("\x00\x01"))
			require.NoError(t, err)
			synctest.Wait()
			result := make(chan error, 1)
			go func() { result <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			_, err = c.Write([]byte("a\x00\x01b"))
			require.NoError(t, err)
			c.expect("a", "b", "goodbye")
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		})
	})
}
