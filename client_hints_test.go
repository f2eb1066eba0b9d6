package gtcp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

const (
	checkBothSides = "check the address, TLS and the Format of both sides"
	noReplyAtAll   = "no reply on a new connection: if this is always so, check the address, TLS, the Format and Envelope of both sides"
)

// httpAddr is the address of a web server: the wrong port.
func httpAddr(t *testing.T) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// tlsAddr is the address of a server of TLS that says what is wrong, as most but
// Go's own do, or only closes the connection.
func tlsAddr(alert string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return rawServer(t, func(c *net.TCPConn, _ int) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Write([]byte(alert))
		})
	}
}

func upper(_ context.Context, request []byte) ([]byte, error) {
	return append([]byte("reply to "), request...), nil
}

// The errors that a newcomer meets first say what to check, in both modes. What
// they unwrap to is what it would be without.
func TestErrorsOfNewcomers(t *testing.T) {
	impatient := retry.Policy{MaxAttempts: 1}
	trusting := &conn.Dialer{TLS: &tls.Config{InsecureSkipVerify: true}}
	tests := []struct {
		name   string
		addr   func(t *testing.T) string
		config gtcp.ClientConfig
		is     error
		want   string
	}{
		{"no server", func(t *testing.T) string { return refusedAddr(t) }, gtcp.ClientConfig{}, nil, "refused"},
		{"a web server", httpAddr, gtcp.ClientConfig{}, io.ErrUnexpectedEOF, "the bytes look like HTTP: " + checkBothSides},
		{"a web server, longer header", httpAddr, gtcp.ClientConfig{Format: framing.Format{HeaderSize: 4}}, nil,
			"the bytes look like HTTP: " + checkBothSides},
		{"plain to TLS, with an alert", tlsAddr("\x15\x03\x01\x00\x02\x02\x46"), gtcp.ClientConfig{}, io.ErrUnexpectedEOF,
			"the bytes look like TLS: " + checkBothSides},
		{"plain to TLS, without", tlsAddr(""), gtcp.ClientConfig{}, io.EOF, noReplyAtAll},
		{"TLS to plain", tlsAddr(""), gtcp.ClientConfig{Target: conn.Target{Dialer: trusting}}, nil, "(does the server speak TLS on that port?)"},
		{"TLS to text", tlsAddr("-ERR unknown command\r\n"), gtcp.ClientConfig{Target: conn.Target{Dialer: trusting}}, nil, "(does the server speak TLS on that port?)"},
		{"no envelopes to a server with envelopes", func(t *testing.T) string {
			return serving(t, &server.FrameHandler{Envelope: true, Handle: upper})
		}, gtcp.ClientConfig{}, io.EOF, noReplyAtAll},
		{"envelopes to a server without", func(t *testing.T) string {
			return serving(t, &server.FrameHandler{Handle: upper})
		}, gtcp.ClientConfig{Envelope: true}, envelope.ErrMalformed, "(is Envelope set on both sides?)"},
		{"a silent server, no deadline", silentServer, gtcp.ClientConfig{CallTimeout: 50 * time.Millisecond}, context.DeadlineExceeded,
			"(the call had no deadline, and ClientConfig.CallTimeout is 50ms)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for mode, shared := range map[string]bool{"exclusive": false, "shared": true} {
				t.Run(mode, func(t *testing.T) {
					config := test.config
					config.Shared, config.Retry = shared, impatient
					_, err := client(t, test.addr(t), config).Call(context.Background(), []byte("hello\r\n\r\n"))
					require.ErrorContains(t, err, test.want)
					require.LessOrEqual(t, strings.Count(err.Error(), "request written"), 1, err)
					if test.is != nil {
						require.ErrorIs(t, err, test.is)
					}
					if e := (*gtcp.CallError)(nil); errors.As(err, &e) && (test.is == io.EOF || test.is == io.ErrUnexpectedEOF) {
						require.Equal(t, test.is, e.Err, "bare, for callers that compare it")
					}
				})
			}
		})
	}
}

// A connection that has worked before has no wrong address: the text is as short
// as it was.
func TestErrorsOfConnectionsThatWorkedHaveNoHint(t *testing.T) {
	for mode, shared := range map[string]bool{"exclusive": false, "shared": true} {
		t.Run(mode, func(t *testing.T) {
			addr := rawServer(t, func(c *net.TCPConn, _ int) {
				frame := make([]byte, 3)
				_, _ = io.ReadFull(c, frame)
				_, _ = c.Write(frame)
				_, _ = io.ReadFull(c, frame)
			})
			c := client(t, addr, gtcp.ClientConfig{Shared: shared, Retry: retry.Policy{MaxAttempts: 1}})
			_, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
			_, err = c.Call(t.Context(), []byte("y"))
			require.ErrorIs(t, err, io.EOF)
			require.NotContains(t, err.Error(), "check")

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err = client(t, silentServer(t), gtcp.ClientConfig{Shared: shared}).Call(ctx, []byte("x"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "CallTimeout", "the deadline was the caller's")

			_, err = client(t, silentServer(t), gtcp.ClientConfig{Shared: shared, CallTimeout: -1,
				Retry: retry.Policy{MaxAttempts: 1, PerAttemptTimeout: 20 * time.Millisecond}}).Call(context.Background(), []byte("x"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "CallTimeout", "the deadline was that of the attempt")
		})
	}
}

// The error of a caller who finds the pool too small says so.
func TestErrorOfAPoolTooSmall(t *testing.T) {
	c := client(t, silentServer(t), gtcp.ClientConfig{Pool: pool.Config{MaxConns: 1, MaxWaiters: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed error
	done := make(chan struct{})
	go func() { // holds the only connection
		defer close(done)
		_, failed = c.Call(ctx, []byte("x"))
	}()
	require.Eventually(t, func() bool { return c.Stat().Pool.Open == 1 && c.Stat().Pool.Idle == 0 }, 10*time.Second, time.Millisecond)
	brief, cancelBrief := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancelBrief()
	_, err := c.Call(brief, []byte("y"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "max 1); all connections are in use: see Config.MaxConns")
	cancel()
	<-done
	require.ErrorIs(t, failed, context.Canceled)
	require.NotContains(t, failed.Error(), "MaxConns")
}
