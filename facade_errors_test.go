package gtcp_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// What newcomers get wrong first is said in the error, behind the words that
// programs match.
func TestErrorsSayWhatToLookAt(t *testing.T) {
	quiet(t)
	dead := refusedAddr(t)
	silent := rawServer(t, func(c *net.TCPConn, _ int) { _, _ = io.Copy(io.Discard, c) })
	hangsUp := rawServer(t, func(c *net.TCPConn, _ int) { _, _ = c.Read(make([]byte, 1)) })
	greets := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = c.Write([]byte("220 ready\r\n"))
		_, _ = io.Copy(io.Discard, c)
	})
	crt, key, _ := pair(t)
	config, err := gtcp.LoadKeyCrt(crt, key)
	require.NoError(t, err)
	secure := run(t, gtcp.NewServerTLS("127.0.0.1:0", config, serveEcho))
	full := rawServer(t, echo)
	configure(t, gtcp.PoolOptions{MaxConns: 1}, full)
	defer checkOut(t, full).Close()
	crowded := rawServer(t, echo)
	configure(t, gtcp.PoolOptions{MaxConns: 1, MaxWaiters: -1}, crowded)
	defer checkOut(t, crowded).Close()
	name := resolves(t, resolve.Addrs(dead), nil)

	const listening, speaking = "(is a server listening on that address?)", "(does the server speak TLS on that port?)"
	const closed = "(is each PoolConn closed after use? else raise PoolOptions.MaxConns)"
	for what, test := range map[string]struct {
		do   func() error
		says string // "": no hint
	}{
		"nobody listens, NewConn":       {func() error { _, err := gtcp.NewConn(dead); return err }, listening},
		"nobody listens, NewNetConnTLS": {func() error { _, err := gtcp.NewNetConnTLS(dead, nil); return err }, listening},
		"nobody listens, NewPoolConn":   {func() error { _, err := gtcp.NewPoolConn(dead); return err }, listening},
		"nobody listens, a service":     {func() error { _, err := gtcp.NewPoolConn(name); return err }, listening},
		"no port":                       {func() error { _, err := gtcp.NewConn("127.0.0.1"); return err }, ""},
		"TLS to one that is silent":     {func() error { _, err := gtcp.NewNetConnTLS(silent, nil, 50*time.Millisecond); return err }, speaking},
		"TLS to one that hangs up":      {func() error { _, err := gtcp.NewConnTLS(hangsUp, nil); return err }, speaking},
		"TLS to one that greets":        {func() error { _, err := gtcp.NewConnTLS(greets, nil); return err }, speaking},
		"TLS, and nobody vouches":       {func() error { _, err := gtcp.NewConnTLS(secure, &tls.Config{}); return err }, ""},
		"TLS within no time":            {func() error { _, err := gtcp.NewNetConnTLS(silent, nil, -1); return err }, ""},
		"a pool that is full":           {func() error { _, err := gtcp.NewPoolConn(full, 10*time.Millisecond); return err }, closed},
		"a pool that is crowded":        {func() error { _, err := gtcp.NewPoolConn(crowded); return err }, closed},
	} {
		t.Run(what, func(t *testing.T) {
			err := test.do()
			require.Error(t, err)
			if test.says == "" {
				for _, hint := range []string{listening, speaking, closed} {
					require.NotContains(t, err.Error(), hint)
				}
				return
			}
			require.ErrorContains(t, err, test.says)
			require.NotEqual(t, conn.KindOther, conn.KindOf(err), "the hint hides nothing")
			var timeout net.Error
			require.True(t, errors.As(err, &timeout))
			_, ok := err.(net.Error)
			require.True(t, ok)
		})
	}
	_, err = gtcp.NewPoolConn(full, 10*time.Millisecond)
	var layer *pool.Error
	require.ErrorAs(t, err, &layer)
}

// A length that is none tells what the peer sends.
func TestPackageSizeThatIsText(t *testing.T) {
	for _, test := range []struct {
		sent   string
		option gtcp.PkgOption
		says   string
	}{
		{"AA", gtcp.PkgOption{MaxDataSize: 1000}, `invalid package size 16705 (its bytes are the text "AA": the peer does not send packages, or HeaderSize differs)`},
		{"GET ", gtcp.PkgOption{HeaderSize: 4, MaxDataSize: 1000}, `invalid package size 1195725856 (its bytes are the text "GET ": the peer does not send packages, or HeaderSize differs)`},
		{"\r\n", gtcp.PkgOption{MaxDataSize: 1000}, `invalid package size 3338 (its bytes are the text "\r\n": the peer does not send packages, or HeaderSize differs)`},
		{"\x16\x03\x01", gtcp.PkgOption{HeaderSize: 3, MaxDataSize: 1000}, `invalid package size 1442561 (its bytes are the beginning of TLS: one side speaks TLS and the other does not)`},
		{"\x14\x03", gtcp.PkgOption{MaxDataSize: 1000}, `invalid package size 5123 (its bytes are the beginning of TLS: one side speaks TLS and the other does not)`},
		{"\x17\x03", gtcp.PkgOption{MaxDataSize: 1000}, `invalid package size 5891 (its bytes are the beginning of TLS: one side speaks TLS and the other does not)`},
		{"\x13\x03", gtcp.PkgOption{MaxDataSize: 1000}, "invalid package size 4867"},
		{"\x15\x03\x01\x00", gtcp.PkgOption{HeaderSize: 4, MaxDataSize: 1000}, `invalid package size 352518400 (its bytes are the beginning of TLS: one side speaks TLS and the other does not)`},
		{"\x00A", gtcp.PkgOption{MaxDataSize: 10}, "invalid package size 65"},
		{"A\x00", gtcp.PkgOption{MaxDataSize: 10}, "invalid package size 16640"},
		{"A\x7f", gtcp.PkgOption{MaxDataSize: 10}, "invalid package size 16767"},
		{"\x18\x03", gtcp.PkgOption{MaxDataSize: 10}, "invalid package size 6147"},
		{"\x16\x04", gtcp.PkgOption{MaxDataSize: 10}, "invalid package size 5636"},
	} {
		c, far := peer(t)
		_, err := far.Write([]byte(test.sent))
		require.NoError(t, err)
		_, err = c.RecvPkg(test.option)
		require.EqualError(t, err, test.says)
	}
}
