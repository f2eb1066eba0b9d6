package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/resolve/etcdresolve"
	"github.com/seed-99d6a01a/gtcp/server"
)

// serveVariable is the variable of the environment that makes this program a
// server; its value is the address of etcd.
const serveVariable = "CLUSTER_SERVE"

// serve is one server: it registers itself, and replies to requests until it is
// told to stop.
func serve(etcd string) error {
	stop, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer end()
	registry, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer registry.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	frames := server.Frames(framing.Format{}, func(_ context.Context, request []byte) ([]byte, error) {
		time.Sleep(time.Millisecond)
		return request, nil
	})
	frames.Goodbye = goodbye
	srv := &etcdresolve.Server{
		Server: &server.Server{Handler: frames},
		Client: registry, Prefix: prefix, TTL: 3 * time.Second,
		Endpoint: resolve.Endpoint{Addr: addr, Meta: map[string]string{"pid": fmt.Sprint(os.Getpid())}},
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Println(addr)

	select {
	case err := <-served:
		return err
	case <-stop.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}
