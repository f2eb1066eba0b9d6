//go:build !gtcp_noloop

package conn_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// Operations of several goroutines meet a connection that falls asleep again and
// again: none of them fails, and no byte is lost.
func TestFallingAsleepAtRandom(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			before := descriptors(t)
			c, peer := socketPair(t, network, nil)
			const n = 2000
			var wg sync.WaitGroup
			errs := make(chan error, 4)
			stop := fallAgainAndAgain(c)
			wg.Go(func() { // one request in flight
				for i := range n {
					_, _ = peer.Write([]byte{byte(i)})
					b := make([]byte, 1)
					if _, err := io.ReadFull(peer, b); err != nil || b[0] != byte(i) {
						errs <- errors.Join(err, errors.New("wrong byte"))
						return
					}
				}
				_ = peer.(interface{ CloseWrite() error }).CloseWrite()
			})
			wg.Go(func() {
				b := make([]byte, 1)
				for i := 0; ; i++ {
					for i%100 == 0 && sleep.NetConn(c) != nil { // until it sleeps
						_ = sleep.Fall(c, new(watcher))
					}
					if _, err := c.Read(b); err == io.EOF {
						return
					} else if err != nil {
						errs <- err
						return
					}
					if _, err := c.Write(b); err != nil {
						errs <- err
						return
					}
				}
			})
			wg.Go(func() {
				for range n {
					if err := c.SetWriteDeadline(time.Time{}); err != nil {
						errs <- err
						return
					}
					_ = c.RemoteAddr().String()
					_ = c.Check() // ErrBusy, mostly
				}
			})
			wg.Wait()
			stop()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			require.NoError(t, c.Close())
			require.NoError(t, peer.Close())
			requireDescriptors(t, before)
		})
	}
}

// fallAgainAndAgain has c sleep whenever it can, until stop is called.
func fallAgainAndAgain(c *conn.Conn) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				_ = sleep.Fall(c, new(watcher))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
