package pipeline_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// tlsPair returns the two ends' configurations, which trust each other's
// certificate.
func tlsPair(t *testing.T) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots}
}

func TestTLS(t *testing.T) {
	serverConfig, clientConfig := tlsPair(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig)
	require.NoError(t, err)
	serveOn(t, l, echo(framing.Format{}))
	p := openTo(t, conn.Target{Address: l.Addr().String(), Dialer: &conn.Dialer{TLS: clientConfig}}, framing.Format{}, pipeline.Config{})
	for range 20 { // alone, quiet for a while in between
		reply, err := p.Call(bg, []byte("alone"))
		require.NoError(t, err)
		require.Equal(t, "alone", string(reply))
		for begun := time.Now(); time.Since(begun) < time.Millisecond; {
			continue
		}
	}
	require.Zero(t, p.Stat().Ends)
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			for j := range 50 {
				ctx, cancel := context.WithCancel(bg)
				if j%10 == 0 {
					go cancel()
				}
				req := string(rune('a'+i)) + string(rune('a'+j))
				reply, err := p.Call(ctx, []byte(req))
				if err == nil && string(reply) != req || err != nil && ctx.Err() == nil {
					t.Errorf("asked %s, got %s, %v", req, reply, err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	require.Zero(t, p.Stat().Ends, "no cancelled call has ended the connection")
}
