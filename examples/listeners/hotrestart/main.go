// Command hotrestart replaces itself without refusing or losing a request: on
// SIGHUP it starts its own binary anew, hands it the listening socket, and once
// that is ready, replies to what it has received itself and ends. Look at run: the
// listener is closed first, then Shutdown drains. The reply to a request is the
// number of the process that served it.
//
//	cd examples/listeners && go build -o /tmp/hotrestart ./hotrestart && /tmp/hotrestart
//	kill -HUP $(pgrep hotrestart) # in another terminal
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8999", "address to listen on")
	flag.Parse()
	if err := run(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "hotrestart:", err)
		os.Exit(1)
	}
}

func run(addr string) error {
	upgrader, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return err
	}
	defer upgrader.Stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, os.Interrupt, syscall.SIGTERM)
	go obey(signals, upgrader)

	l, err := upgrader.Listen("tcp", addr) // the parent's, if there is one
	if err != nil {
		return err
	}
	srv := &server.Server{Handler: server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
		return []byte(strconv.Itoa(os.Getpid())), nil
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if err := upgrader.Ready(); err != nil { // the parent may go
		return errors.Join(err, srv.Close())
	}
	<-upgrader.Exit()

	// The socket lives on in the new process, and so does its backlog: close
	// this end of it first, so that what waits there is left to the other.
	_ = l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return errors.Join(err, srv.Close())
	}
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(limit)
}

// obey turns signals into upgrades, or the end.
func obey(signals <-chan os.Signal, upgrader *tableflip.Upgrader) {
	for sig := range signals {
		if sig != syscall.SIGHUP {
			upgrader.Stop()
			return
		}
		// One restart after another: the last one may still be draining.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := upgrader.WaitForParent(ctx)
		cancel()
		if err == nil {
			err = upgrader.Upgrade()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "hotrestart: upgrade failed, this process goes on:", err)
		}
	}
}
