package gtcp_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// A call over TLS to a peer that does not read ends when its time is over, and not 5 s
// later, when crypto/tls gives up to write its last alert.
func TestCallOverTLSToAPeerThatDoesNotRead(t *testing.T) {
	crt, key, _ := pair(t)
	certificate, err := tls.LoadX509KeyPair(crt, key)
	require.NoError(t, err)
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			dial := func(context.Context) (net.Conn, error) {
				near, far := memnet.Pipe()
				shaken := make(chan error, 1)
				go func() {
					shaken <- tls.Server(far, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
				}()
				tc := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
				if err := tc.Handshake(); err != nil {
					return nil, err
				}
				t.Cleanup(func() { _, _ = io.Copy(io.Discard, far) }) // until this side has closed
				return tc, <-shaken
			}
			c := gtcp.NewClient("", gtcp.ClientConfig{
				Shared: shared, Target: conn.Target{Dial: dial}, Format: framing.Format{HeaderSize: 4, MaxSize: 64 << 20},
			})
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				begun := time.Now()
				_, err := c.Call(ctx, make([]byte, 16<<20))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(begun), time.Second+100*time.Millisecond)
				cancel()
			}
			begun := time.Now()
			require.NoError(t, c.Close())
			require.LessOrEqual(t, time.Since(begun), 100*time.Millisecond)
		})
	})
}
