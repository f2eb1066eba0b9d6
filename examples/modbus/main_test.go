package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/conn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), "", 16, 20, &out))
	require.Equal(t, strings.Join([]string{
		"no -addr: started a server here",
		"318 fast reads and 2 slow ones, connections: 1",
		"reading past the end: modbus exception 2 illegal data address",
		"",
	}, "\n"), out.String())
}

func TestExceptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := newServer()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		_ = srv.Close()
		<-served
	}()
	client := newClient(l.Addr().String())
	defer client.Close()
	for _, test := range []struct {
		first, count uint16
		want         Exception
	}{
		{0, 0, 3},
		{0, 126, 3},
		{65535, 2, 2},
	} {
		_, err := read(t.Context(), client, 1, test.first, test.count)
		require.ErrorIs(t, err, test.want)
		require.Equal(t, conn.KindApplication, conn.KindOf(err))
	}
	values, err := read(context.Background(), client, 1, 65534, 2)
	require.NoError(t, err)
	require.Equal(t, []uint16{65534, 65535}, values)

	// A function that the server does not know.
	req := request(1, 0, 1)
	req[headerSize] = 6
	reply, err := client.Call(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []byte{6 | failedBit, 1}, reply[headerSize:])
}
