// Command client calls the service from eight goroutines, and counts.
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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

func main() {
	log.SetFlags(0)
	addrs := flag.String("addrs", "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003", "addresses of the servers")
	duration := flag.Duration("for", 10*time.Second, "how long to call")
	flag.Parse()

	trust, err := trusted()
	if err != nil {
		log.Fatal(err)
	}
	client := newClient(strings.Split(*addrs, ","), trust)
	defer client.Close()

	var failed atomic.Int64
	var callers sync.WaitGroup
	end := time.Now().Add(*duration)
	for range 8 {
		callers.Go(func() {
			for time.Now().Before(end) {
				if _, err := call(client, "hello"); err != nil {
					failed.Add(1)
					log.Printf("kind: %s, safe to repeat: %v: %v", conn.KindOf(err), retry.SafeToRetry(err), err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	callers.Wait()

	stat := client.Stat()
	for _, e := range stat.Endpoints {
		fmt.Println(e.Endpoint.Addr, "replied", e.Succeeded, "times")
	}
	fmt.Println(stat.Calls, "calls,", stat.Retries, "repeated,", failed.Load(), "failed")
}

// format is the same in the server and in the client.
var format = framing.Format{MaxSize: 1024} // no message is longer

// newClient returns a client of the servers at addrs. It connects when it is first used.
func newClient(addrs []string, trust *tls.Config) *gtcp.Client {
	config := gtcp.ClientConfig{Format: format, Goodbye: []byte("goodbye")}
	config.Resolver = resolve.Addrs(addrs...)
	config.Target.Dialer = &conn.Dialer{TLS: trust}
	return gtcp.NewClient("shout", config)
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
