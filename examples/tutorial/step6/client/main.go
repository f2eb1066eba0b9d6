// Command client sends each of its arguments as a request and prints the replies.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/retry"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:7001", "address of the server")
	flag.Parse()

	trust, err := trusted()
	if err != nil {
		log.Fatal(err)
	}
	client := newClient(*addr, trust)
	defer client.Close()
	for _, word := range flag.Args() {
		reply, err := call(client, word)
		if err != nil {
			log.Printf("kind: %s, safe to repeat: %v", conn.KindOf(err), retry.SafeToRetry(err))
			log.Fatal(err)
		}
		fmt.Println(reply)
	}
}

// format is the same in the server and in the client.
var format = framing.Format{MaxSize: 1024} // no message is longer

// newClient returns a client of the server at addr. It connects when it is first used.
func newClient(addr string, trust *tls.Config) *gtcp.Client {
	config := gtcp.ClientConfig{Format: format, Goodbye: []byte("goodbye")}
	config.Target.Dialer = &conn.Dialer{TLS: trust}
	return gtcp.NewClient(addr, config)
}

// trusted returns a configuration that accepts the certificate in cert.pem.
func trusted() (*tls.Config, error) {
	pem, err := os.ReadFile("cert.pem")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in cert.pem")
	}
	return &tls.Config{RootCAs: roots}, nil
}

// call sends one word and waits at most one second for the reply.
func call(client *gtcp.Client, word string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	reply, err := client.Call(ctx, []byte(word))
	return string(reply), err
}
