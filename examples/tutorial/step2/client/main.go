// Command client sends each of its arguments as a request and prints the replies.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/retry"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:7001", "address of the server")
	flag.Parse()

	client := newClient(*addr)
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

// newClient returns a client of the server at addr. It connects when it is first used.
func newClient(addr string) *gtcp.Client {
	return gtcp.NewClient(addr, gtcp.ClientConfig{})
}

// call sends one word and waits at most one second for the reply.
func call(client *gtcp.Client, word string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	reply, err := client.Call(ctx, []byte(word))
	return string(reply), err
}
