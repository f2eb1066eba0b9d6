package server_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// holdingListener accepts connections that hold up whoever interrupts a read.
type holdingListener struct {
	net.Listener
	hold *atomic.Int64
}

type holdingConn struct {
	net.Conn
	hold *atomic.Int64
}

func (l holdingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return holdingConn{nc, l.hold}, err
}

func (c holdingConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		time.Sleep(time.Duration(c.hold.Load()))
	}
	return c.Conn.SetReadDeadline(t)
}

// A timeout is late by the hold-ups of the watch at its beginning and its end, and
// not by all those in between together.
func TestHoldUpsOfTheWatchDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := echo()
		h.ReadTimeout, h.IdleTimeout = 10*time.Second, 10*time.Second
		s := &server.Server{Handler: h}
		l := memnet.Listen("server")
		hold := new(atomic.Int64)
		hold.Store(int64(1500 * time.Millisecond))
		startOn(t, s, holdingListener{l, hold})
		var began time.Time
		var loris net.Conn
		for i := range 30 { // from the fifth on, one of them expires every two seconds
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			defer nc.Close()
			if i == 10 {
				began, loris = time.Now(), nc
				go func() { _, _ = loris.Write([]byte{0}) }()
			}
			time.Sleep(2 * time.Second)
			if loris != nil && s.Stat().ReadTimeouts > 0 {
				break
			}
		}
		require.EqualValues(t, 1, s.Stat().ReadTimeouts)
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second)
		require.LessOrEqual(t, time.Since(began), 16*time.Second)
		hold.Store(0)
		time.Sleep(time.Minute)
	})
}

// The log says why a peer that does not read was given up, whatever the system says.
func TestTheLogOfAPeerThatDoesNotRead(t *testing.T) {
	for _, size := range []int{100, 60000} {
		eachMode(t, func(t *testing.T, n int) {
			synctest.Test(t, func(t *testing.T) {
				log := &logbook{}
				h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, size), nil })
				h.Concurrency, h.WriteTimeout = n, time.Second
				nc, err := newMemServer(t, &server.Server{Handler: h, Logger: log.logger()}).Dial(t.Context())
				require.NoError(t, err)
				deaf(t, nc, 5000)
				time.Sleep(time.Minute)
				log.requireOne(t, "peer does not read", `err="the peer does not read"`)
				require.NoError(t, nc.Close())
			})
		})
	}
}

// A write that fails otherwise is no timeout.
func TestTheLogOfAPeerThatHasReset(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			log := &logbook{}
			h, entered, let := gated()
			h.Concurrency = n
			s := &server.Server{Handler: h, Logger: log.logger()}
			nc, err := newMemServer(t, s).Dial(t.Context())
			require.NoError(t, err)
			_, err = nc.Write([]byte("\x00\x01a"))
			require.NoError(t, err)
			<-entered
			require.NoError(t, nc.(*memnet.Conn).Reset())
			close(let)
			synctest.Wait()
			require.Zero(t, s.Stat().WriteTimeouts)
			require.Zero(t, s.Stat().Handlers)
			if n == 0 { // else the reader hears of it before
				log.requireOne(t, "write failed", "level=DEBUG")
			}
		})
	})
}

// The time for which the watch is held up is not held against a request that began
// meanwhile.
func TestTimeoutIsNotEarlyBehindAHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := echo()
		h.IdleTimeout, h.ReadTimeout = 10*time.Second, 5*time.Second
		s := &server.Server{Handler: h}
		l := memnet.Listen("server")
		hold := new(atomic.Int64)
		hold.Store(int64(4 * time.Second))
		startOn(t, s, holdingListener{l, hold})
		idle, err := l.Dial(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		loris, err := l.Dial(t.Context())
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		exchangeOne(t, loris)       // it is idle for longer than the other one
		time.Sleep(9 * time.Second) // the watch is interrupting the other one's read
		_, err = loris.Write([]byte{0})
		require.NoError(t, err)
		began := time.Now()
		hold.Store(0)
		_, err = io.ReadAll(loris)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), h.ReadTimeout)
		require.LessOrEqual(t, time.Since(began), h.ReadTimeout+5*time.Second)
		require.EqualValues(t, 1, s.Stat().ReadTimeouts)
		require.EqualValues(t, 1, s.Stat().IdleTimeouts)
		require.NoError(t, idle.Close())
		require.NoError(t, loris.Close())
	})
}

// hollow is a wrapper that says it has nothing below it.
type hollow struct{ net.Listener }

type hollowConn struct{ net.Conn }

func (l hollow) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return hollowConn{nc}, err
}

func (hollowConn) NetConn() net.Conn { return nil }

func TestWriteTimeoutOfAHollowWrapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := echo()
		h.WriteTimeout = time.Second
		l := memnet.Listen("server")
		l.BufferSize = 10
		s := &server.Server{Handler: h}
		startOn(t, s, hollow{l})
		nc, err := l.Dial(t.Context())
		require.NoError(t, err)
		go func() { _, _ = nc.Write([]byte("\x00\x0a0123456789")) }()
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, s.Stat().WriteTimeouts)
		require.NoError(t, nc.Close())
	})
}
