// Command sessions keeps a pool of the sessions of a protocol of its own: each
// connection logs in once, and is probed, reset and closed as the protocol needs.
// Look at store.go, which is the whole client, and at the numbers of the sessions
// in the output: they change when the secret does. The server runs in the same
// process.
//
//	go run ./examples/sessions
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, addr, stop, err := start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	var secret atomic.Pointer[string]
	change := func(to string) { secret.Store(&to); s.secret.Store(&to) }
	change("apples")
	client, err := newStore(addr, func() string { return *secret.Load() })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.sessions.Close()) }()

	show := func(database, key string) {
		value, number, err := client.get(ctx, database, key)
		fmt.Fprintf(out, "session %s: %s/%s = %q, error: %v\n", number, database, key, value, err)
	}
	show("green", "apple")
	show("red", "apple")
	show("red", "pear") // refused by the server: the session stays

	change("pears")
	client.secretChanged()
	show("green", "apple")

	if err := client.notify(ctx, "hello"); err != nil {
		return err
	}
	show("green", "apple")
	fmt.Fprintf(out, "%d logins\n", client.sessions.Stat().Dials)
	return nil
}
