package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// That a peer has gone is noticed during a request whose rest the server has waited for,
// and during one behind an oversize request that it has skipped: no timeout of a read is
// left over from those waits.
func TestPeerGoesDuringARequestThatWasWaitedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		first  string // the server has met it, and waits, before the rest is sent
		refuse bool   // it is told so by a reply, else by the state
		rest   string
	}{
		"a request in parts":       {first: "\x00\x04w", rest: "ait"},
		"behind a skipped request": {first: "\x00\x14too", refuse: true, rest: " large. too large\x00\x04wait"},
		"in parts, behind that":    {first: "\x00\x14too large. too large\x00\x04w", refuse: true, rest: "ait"},
	} {
		t.Run(name, func(t *testing.T) {
			entered, ended := make(chan struct{}), make(chan struct{})
			h := server.Frames(framing.Format{MaxSize: 10, SkipOversize: true}, func(ctx context.Context, req []byte) ([]byte, error) {
				close(entered)
				<-ctx.Done()
				close(ended)
				return req, nil
			})
			h.ErrorReply = func(context.Context, error) []byte { return []byte("refused") }
			s := &server.Server{Handler: h}
			c := dial(t, start(t, s))
			_, err := c.Write([]byte(tc.first))
			require.NoError(t, err)
			if tc.refuse {
				c.expect("refused")
			} else {
				require.Eventually(t, func() bool { return s.Stat().Active == 1 }, patience, time.Millisecond)
			}
			_, err = c.Write([]byte(tc.rest))
			require.NoError(t, err)
			<-entered
			require.NoError(t, c.Close())
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the handler works on for nobody")
			}
		})
	}
}
