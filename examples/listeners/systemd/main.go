// Command systemd serves the sockets that systemd has opened for it (socket
// activation), so that the service can start on demand, without a privilege for
// its port, and restart while clients wait in the socket's backlog:
//
//	# echo.socket
//	[Socket]
//	ListenStream=8999
//
//	systemd-socket-activate -l 8999 ./systemd
//
// Look at run: each inherited socket is a listener of one server. It is built
// with go build ./systemd in examples/listeners.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "systemd:", err)
		os.Exit(1)
	}
}

// run serves every inherited socket with one server until ctx ends.
func run(ctx context.Context) error {
	listeners, err := activation.Listeners()
	if err != nil {
		return err
	}
	if len(listeners) == 0 {
		return errors.New("no socket was passed: start it through a .socket unit or systemd-socket-activate")
	}
	srv := &server.Server{Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		return append([]byte("> "), req...), nil
	})}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- srv.Serve(l) }()
	}
	select {
	case err := <-served:
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(limit)
}
