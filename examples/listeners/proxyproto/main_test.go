package main

import (
	"net"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestClientAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := newServer()
	served := make(chan error, 1)
	go func() { served <- s.Serve(behindProxy(l)) }()
	defer func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		require.NoError(t, s.Shutdown(t.Context()))
	}()

	ask := func(version byte, from string) (string, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		src := &net.TCPAddr{IP: net.ParseIP(from), Port: 4711}
		dst := &net.TCPAddr{IP: net.ParseIP("192.0.2.200"), Port: 80}
		_, err = proxyproto.HeaderProxyFromAddrs(version, src, dst).WriteTo(c)
		require.NoError(t, err)
		_, err = c.Write([]byte("\x00\x03who"))
		require.NoError(t, err)
		resp, err := framing.NewReader(c, framing.Format{}).Next()
		return string(resp), err
	}
	for version, from := range map[byte]string{1: "192.0.2.1", 2: "192.0.2.2"} {
		got, err := ask(version, from)
		require.NoError(t, err)
		require.Equal(t, from+":4711", got)
	}
	_, err = ask(2, "192.0.2.1") // its second connection
	require.Error(t, err)
	require.EqualValues(t, 1, s.Stat().RefusedPerIP)
}
