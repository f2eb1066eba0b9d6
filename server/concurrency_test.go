package server_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

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
