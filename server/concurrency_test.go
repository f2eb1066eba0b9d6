package server_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// So many requests are in progress and no more, and each keeps its own bytes
// while others arrive.
func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, entered, let := gated()
		h.Concurrency = 2
		l := memnet.Listen("server")
		startOn(t, &server.Server{Handler: h}, l)
		nc, err := l.Dial(t.Context())
		require.NoError(t, err)
		c := newClient(t, nc)
		for _, request := range []string{"first", "other", "third", "forth"} {
			c.send(request)
			synctest.Wait()
		}
		require.Len(t, entered, 2)
		let <- struct{}{}
		let <- struct{}{}
		c.expect("first", "other")
		synctest.Wait()
		require.Len(t, entered, 4)
		close(let)
		c.expect("third", "forth")
	})
}

// A request whose reply waits for its turn is in progress too: the next one is not read.
func TestConcurrencyCountsRepliesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, entered, let := gated()
		h.Concurrency = 3
		quick := h.Handle
		h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			if string(req) == "slow" {
				return quick(ctx, req)
			}
			entered <- string(req)
			return req, nil
		}
		s := &server.Server{Handler: h}
		nc, err := newMemServer(t, s).Dial(t.Context())
		require.NoError(t, err)
		c := newClient(t, nc)
		for _, request := range []string{"slow", "a", "b", "c", "d"} {
			c.send(request)
			synctest.Wait()
		}
		require.Len(t, entered, 3)
		require.Equal(t, 3, s.Stat().InProgress)
		close(let)
		c.expect("slow", "a", "b", "c", "d")
	})
}

// As many bytes of replies wait as MaxReplyBytes says, those of refusals included; then
// no further request is read. What has been sent does not count.
func TestMaxReplyBytes(t *testing.T) {
	for name, tc := range map[string]struct {
		most, size, want int
		refused          bool
	}{
		"zero":      {0, 1 << 10, 256, false},
		"some":      {100, 50, 2, false},
		"some more": {100, 40, 3, false},
		"one":       {1, 50, 1, false},
		"no bound":  {-1, 1 << 10, 400, false},
		"refusals":  {100, 50, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				let := make(chan struct{})
				h := server.Frames(framing.Format{MaxSize: 60000, SkipOversize: true}, func(_ context.Context, req []byte) ([]byte, error) {
					if string(req) == "slow" {
						<-let
					}
					return make([]byte, tc.size), nil
				})
				h.ErrorReply = func(context.Context, error) []byte { return make([]byte, tc.size) }
				h.Concurrency, h.MaxReplyBytes = 1000, tc.most
				s := &server.Server{Handler: h}
				l := memnet.Listen("server")
				l.BufferSize = 64 << 20
				startOn(t, s, l)
				nc, err := l.Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				request := "x"
				if tc.refused {
					request = strings.Repeat("x", 60001)
				}
				for range 2 { // what has been sent by the first does not count for the second
					c.send("slow")
					for range 400 {
						c.send(request)
						synctest.Wait()
					}
					require.Equal(t, 1+tc.want, s.Stat().InProgress)
					let <- struct{}{}
					for range 401 {
						_, err := c.r.Next()
						require.NoError(t, err)
					}
					synctest.Wait()
					require.Zero(t, s.Stat().InProgress)
				}
			})
		})
	}
}

// A refusal has its turn in either order.
func TestUnorderedRefusals(t *testing.T) {
	h := refusing(framing.Format{MaxSize: 10}, 4)
	h.Unordered = true
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send("a")
	c.expect("a")
	c.send(strings.Repeat("x", 11))
	c.expect("refused")
	c.send("b")
	c.expect("b")
}

// While a reply waits for a peer that does not read, the connection is not idle.
func TestIdleTimeoutWaitsForAPeerThatReadsSlowly(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, 98), nil })
			h.Concurrency, h.IdleTimeout, h.WriteTimeout = n, 5*time.Second, -1
			s := &server.Server{Handler: h}
			l := memnet.Listen("server")
			l.BufferSize = 100 // room for one reply
			startOn(t, s, l)
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			for range 2 {
				_, err = nc.Write([]byte{0, 0})
				require.NoError(t, err)
				synctest.Wait()
			}
			time.Sleep(time.Minute)
			_, err = io.ReadFull(nc, make([]byte, 200))
			require.NoError(t, err)
			synctest.Wait()
			require.Equal(t, 1, s.Stat().Idle)
			time.Sleep(time.Hour)
			require.Zero(t, s.Stat().Handlers)
			require.NoError(t, nc.Close())
		})
	})
}
