package conn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestTargetValidate(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, io.EOF }
	tests := []struct {
		field  string // empty: valid
		target conn.Target
	}{
		{"", conn.Target{Address: "127.0.0.1:1"}},
		{"", conn.Target{Network: "tcp6", Address: "[::1]:1", Dialer: &conn.Dialer{}}},
		{"", conn.Target{Network: "unix", Address: "/no/port"}},
		{"", conn.Target{Dial: dial}},
		{"", conn.Target{Network: "memory", Address: "name", Dial: dial}},
		{"Target.Address", conn.Target{}},
		{"Target.Address", conn.Target{Address: "127.0.0.1"}},
		{"Target.Address", conn.Target{Network: "tcp4", Address: "127.0.0.1"}},
		{"Target.Network", conn.Target{Network: "udp", Address: "127.0.0.1:1"}},
		{"Target.Dialer", conn.Target{Dialer: &conn.Dialer{}, Dial: dial}},
		{"Dialer.TLS", conn.Target{Address: "127.0.0.1:1", Dialer: &conn.Dialer{
			TLS: &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}}}},
	}
	for _, test := range tests {
		err := test.target.Validate()
		_, perr := test.target.Prepare()
		require.Equal(t, err, perr)
		if test.field == "" {
			require.NoError(t, err)
			continue
		}
		var ce *conn.ConfigError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, test.field, ce.Field)
		require.ErrorContains(t, err, "conn: "+test.field+" ")
		require.False(t, ce.SafeToRetry())
	}
}

func TestTargetConnects(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	dialer := conn.Dialer{Timeout: time.Minute}
	target, err := conn.Target{Address: l.Addr().String(), Dialer: &dialer}.Prepare()
	require.NoError(t, err)
	dialer.LocalAddr = &net.UDPAddr{} // has no effect on the copy
	for range 2 {
		c, err := target.Connect(t.Context())
		require.NoError(t, err)
		require.Equal(t, l.Addr().String(), c.RemoteAddr().String())
		require.NoError(t, c.Close())
	}
	c, err := conn.Target{Address: l.Addr().String()}.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestTargetWithADialOfOnesOwn(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	broken := errors.New("no such cable")
	already := conn.New(a)
	own := &conn.Error{Op: "dial", Err: broken}
	tests := []struct {
		name string
		nc   net.Conn
		err  error
		want *conn.Conn
		text string
	}{
		{name: "a connection", nc: already, want: already},
		{name: "an error", err: broken, text: "conn: dial tcp name: no such cable"},
		{name: "an error of a Dialer", err: own, text: "conn: dial: no such cable"},
		{name: "neither", text: "conn: dial tcp name: Target.Dial returned neither a connection nor an error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target := conn.Target{Address: "name", Dial: func(context.Context) (net.Conn, error) { return test.nc, test.err }}
			c, err := target.Connect(t.Context())
			if test.text == "" {
				require.NoError(t, err)
				require.Same(t, test.want, c)
				return
			}
			require.Nil(t, c)
			require.EqualError(t, err, test.text)
			requireSafe(t, true, err)
			require.Equal(t, conn.KindDial, conn.KindOf(err))
			if test.err != nil {
				require.ErrorIs(t, err, test.err)
			}
		})
	}
	require.NoError(t, already.Close())
}

func TestDialBackoffValidate(t *testing.T) {
	tests := []struct {
		field   string
		backoff conn.DialBackoff
	}{
		{"", conn.DialBackoff{}},
		{"", conn.DialBackoff{After: -1}},
		{"", conn.DialBackoff{Min: time.Minute}},
		{"", conn.DialBackoff{Min: time.Second, Max: time.Second}},
		{"DialBackoff.Min", conn.DialBackoff{Min: -1}},
		{"DialBackoff.Max", conn.DialBackoff{Max: -1}},
		{"DialBackoff.Max", conn.DialBackoff{Max: time.Millisecond}},
		{"DialBackoff.Max", conn.DialBackoff{Min: 2 * time.Second, Max: time.Second}},
	}
	for _, test := range tests {
		err := test.backoff.Validate()
		if test.field == "" {
			require.NoError(t, err)
			continue
		}
		var ce *conn.ConfigError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, test.field, ce.Field)
	}
}

func TestDialBackoffPause(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name      string
		backoff   conn.DialBackoff
		failures  int
		outage    time.Duration
		low, high time.Duration
	}{
		{"too few", conn.DialBackoff{}, 2, time.Hour, 0, 0},
		{"never", conn.DialBackoff{After: -1}, 1000, time.Hour, 0, 0},
		{"the first", conn.DialBackoff{}, 3, 0, 10 * ms, 10 * ms},
		{"after a second", conn.DialBackoff{}, 9, time.Second, 25 * ms, 50 * ms},
		{"after ten", conn.DialBackoff{}, 9, 10 * time.Second, 250 * ms, 500 * ms},
		{"after a year", conn.DialBackoff{}, 9, 365 * 24 * time.Hour, 250 * ms, 500 * ms},
		{"After of 1", conn.DialBackoff{After: 1}, 1, 0, 10 * ms, 10 * ms},
		{"jitter stops at Min", conn.DialBackoff{Min: 45 * ms}, 3, time.Second, 45 * ms, 50 * ms},
		{"a Min above the default Max", conn.DialBackoff{Min: time.Minute}, 3, time.Hour, time.Minute, time.Minute},
		{"a clock that went back", conn.DialBackoff{}, 3, -time.Hour, 10 * ms, 10 * ms},
		{"as long as can be", conn.DialBackoff{Min: 1<<63 - 1}, 3, 1<<63 - 1, 1<<63 - 1, 1<<63 - 1},
		{"jitter of what is that long", conn.DialBackoff{Min: 1, Max: 1<<63 - 1}, 3, 1<<63 - 1, (1<<63 - 1) / 40, (1<<63 - 1) / 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for range 200 {
				pause := test.backoff.Pause(test.failures, test.outage)
				require.GreaterOrEqual(t, pause, test.low)
				require.LessOrEqual(t, pause, test.high)
			}
		})
	}
}
