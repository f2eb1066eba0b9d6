package main

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	upstream "github.com/gogf/gf/v2/net/gtcp"

	"github.com/seed-99d6a01a/gtcp"
)

// TestUpstreamServer calls a server of GoFrame's gtcp, which reads and answers
// one package at a time, with both kinds of Client.
func TestUpstreamServer(t *testing.T) {
	srv := upstream.NewServer("127.0.0.1:0", func(c *upstream.Conn) {
		defer c.Close()
		for {
			req, err := c.RecvPkg()
			if err != nil || c.SendPkg(append([]byte("> "), req...)) != nil {
				return
			}
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- srv.Run() }()
	for srv.GetListenedPort() <= 0 {
		time.Sleep(time.Millisecond)
	}
	defer func() { _ = srv.Close(); <-ended }()
	_, port, err := net.SplitHostPort(srv.GetListenedAddress())
	if err != nil {
		t.Fatal(err)
	}
	for _, shared := range []bool{false, true} {
		c := gtcp.NewClient(net.JoinHostPort("127.0.0.1", port), gtcp.ClientConfig{Shared: shared})
		var callers sync.WaitGroup
		for i := range 64 {
			callers.Go(func() { callUpstream(t, c, uint32(i)) })
		}
		callers.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// callUpstream makes calls of which some are given up.
func callUpstream(t *testing.T, c *gtcp.Client, caller uint32) {
	for j := range uint32(300) {
		ctx, cancel := context.WithCancel(context.Background())
		if j%10 == 9 {
			timer := time.AfterFunc(time.Duration(j)*time.Microsecond, cancel)
			defer timer.Stop()
		}
		req := binary.BigEndian.AppendUint32(nil, caller<<16|j)
		reply, err := c.Call(ctx, req)
		if err != nil && ctx.Err() == nil || err == nil && string(reply) != "> "+string(req) {
			t.Errorf("asked %q, got %q, %v", req, reply, err)
		}
		cancel()
		if t.Failed() {
			return
		}
	}
}
