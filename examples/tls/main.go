// Command tls makes a certificate at start, serves with it, and calls the server
// twice: as a client that trusts the certificate and verifies it, and as one
// that does not know it and is right to refuse. Look at the two tls.Config in run.
//
//	go run ./examples/tls
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tls:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &server.Server{
		Handler:   server.Frames(framing.Format{}, greet),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
		Logger:    slog.New(slog.DiscardHandler), // the refused handshake is part of the show
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Shutdown(ctx))
		<-served
	}()

	trusted := x509.NewCertPool()
	trusted.AddCert(cert.Leaf)
	reply, err := call(ctx, l.Addr().String(), &tls.Config{RootCAs: trusted})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "verified:", reply)

	_, err = call(ctx, l.Addr().String(), &tls.Config{RootCAs: x509.NewCertPool()})
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("a certificate nobody vouches for was not refused: %w", err)
	}
	fmt.Fprintln(out, "refused:", unknown)
	return nil
}

// greet replies to one frame.
func greet(_ context.Context, req []byte) ([]byte, error) {
	return append([]byte("hello, "), req...), nil
}

// call dials with TLS, handshake included, and asks once.
func call(ctx context.Context, addr string, cfg *tls.Config) (reply string, err error) {
	c, err := (&conn.Dialer{TLS: cfg}).Dial(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	err = c.Do(ctx, func() error {
		w := framing.NewWriter(c, framing.Format{})
		if err := w.WriteFrame([]byte("world")); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		frame, err := framing.NewReader(c, framing.Format{}).ReadFrame(nil)
		reply = string(frame)
		return err
	})
	return reply, err
}

// selfSigned makes a certificate for 127.0.0.1, good for an hour.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
