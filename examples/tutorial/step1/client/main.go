// Command client sends each of its arguments as a request and prints the replies.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/seed-99d6a01a/gtcp"
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
			log.Fatal(err)
		}
		fmt.Println(reply)
	}
}

// newClient returns a client of the server at addr. It connects when it is first used.
func newClient(addr string) *gtcp.Client {
	return gtcp.NewClient(addr, gtcp.ClientConfig{})
}

// call sends one word and returns the reply.
func call(client *gtcp.Client, word string) (string, error) {
	reply, err := client.Call(context.Background(), []byte(word))
	return string(reply), err
}
