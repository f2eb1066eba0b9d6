package echo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"
)

// serverTLS makes what a server over TLS needs: a certificate that its client does not
// check.
func serverTLS() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// Dial returns a connection to the server on which one frame has been echoed.
func (p *Process) Dial() (net.Conn, error) {
	if !p.tls {
		return DialAndEcho(p.Addr)
	}
	c, err := net.DialTimeout("tcp", p.Addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return echoed(tls.Client(c, &tls.Config{InsecureSkipVerify: true}))
}
