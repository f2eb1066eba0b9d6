package server_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A client of another protocol is what an operator sees first when an address, TLS
// or a Format is wrong on one side. The log says what its bytes look like.
func TestTheLogTellsWhatAStrangerSpeaks(t *testing.T) {
	const hello = "\x16\x03\x01\x06\xc2\x01\x00\x06"
	tests := map[string]struct {
		sent    string
		format  framing.Format
		message string
		details []string
	}{
		"TLS, over the limit": {hello, framing.Format{MaxSize: 1000}, "request too large", []string{"level=WARN", "size=5635", "look like TLS"}},
		"text, over the limit": {"AAAA", framing.Format{MaxSize: 1000}, "request too large",
			[]string{"level=WARN", "size=16705", "look like text"}},
		"a frame with another header": {"\x00\x00\x00\x05hello", framing.Format{HeaderSize: 4, LittleEndian: true}, "request too large",
			[]string{"level=WARN", "size=83886080"}},
		"TLS, within the limit":  {hello, framing.Format{}, "connection ended within a request", []string{"level=INFO", "look like TLS"}},
		"HTTP, within the limit": {"GET / HTTP/1.1\r\n\r\n", framing.Format{}, "connection ended within a request", []string{"level=INFO", "look like HTTP"}},
		"a request cut off":      {"\x00\x05hel", framing.Format{}, "connection failed within a request", []string{"level=DEBUG"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var log logbook
			h := echo()
			h.Format = test.format
			s := &server.Server{Handler: h, Logger: log.logger()}
			c := dial(t, start(t, s))
			_, err := c.Write([]byte(test.sent))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			require.Eventually(t, func() bool { return len(log.with(test.message)) > 0 }, patience, time.Millisecond)
			log.requireOne(t, test.message, test.details...)
			shutdown(t, s)
			require.Len(t, log.with("level="), 1)
		})
	}
}

// A client that sends less than its first bytes promise waits until ReadTimeout.
func TestTheLogTellsWhatALateRequestLooksLike(t *testing.T) {
	var log logbook
	h := echo()
	h.ReadTimeout = 10 * time.Millisecond
	c := dial(t, start(t, &server.Server{Handler: h, Logger: log.logger()}))
	_, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(log.with("did not arrive in time")) > 0 }, patience, time.Millisecond)
	log.requireOne(t, "did not arrive in time", "look like HTTP")
}

func TestTheLogOfAPlainClientAtATLSPortAsksForTLS(t *testing.T) {
	srv, _ := certificates(t)
	var log logbook
	c := dial(t, start(t, &server.Server{Handler: echo(), TLSConfig: srv, Logger: log.logger()}))
	c.send("this is not TLS")
	require.Eventually(t, func() bool { return len(log.with("TLS handshake failed")) > 0 }, patience, time.Millisecond)
	log.requireOne(t, "TLS handshake failed", "level=WARN", "does the client speak TLS?")

	// A handshake that fails for another reason has no such hint.
	var other logbook
	addr := start(t, &server.Server{Handler: echo(), TLSConfig: srv, Logger: other.logger()})
	_, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "example.com"})
	require.Error(t, err, "an authority that the client does not know")
	require.Eventually(t, func() bool { return len(other.with("TLS handshake failed")) > 0 }, patience, time.Millisecond)
	require.NotContains(t, other.with("TLS handshake failed")[0], "speak TLS")
}
