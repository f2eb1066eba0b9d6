package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// serveEcho starts an echo server on a loopback socket.
func serveEcho() (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				echo(c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String(), func() { _ = l.Close() }
}

// call sends a line and returns the reply.
func call(c net.Conn, line string) (string, error) {
	if _, err := io.WriteString(c, line); err != nil {
		return "", err
	}
	b := make([]byte, len(line))
	_, err := io.ReadFull(c, b)
	return string(b), err
}

func Example() {
	addr, stop := serveEcho()
	defer stop()

	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()

	for _, word := range []string{"one", "two"} {
		c, err := p.Get(ctx)
		if err != nil {
			log.Fatal(err)
		}
		reply, err := call(c, word)
		fmt.Println(reply, err, "reused:", c.Reused())
		_ = c.Close() // keeps it if it is healthy
	}
	fmt.Println("dials:", p.Stat().Dials)
	// Output:
	// one <nil> reused: false
	// two <nil> reused: true
	// dials: 1
}

// Do is Get and Close around a function, whose I/O the context bounds.
func ExamplePool_Do() {
	addr, stop := serveEcho()
	defer stop()
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = p.Do(ctx, func(c *pool.Conn) error {
		cancel()                          // the caller gives up, or its deadline passes
		_, err := c.Read(make([]byte, 1)) // nothing will come
		return err
	})
	fmt.Println("canceled:", errors.Is(err, context.Canceled))
	fmt.Println("closed:", p.Stat().Evictions.Total())
	// Output:
	// canceled: true
	// closed: 1
}

// AfterConnect logs in on each new connection. What it returns is there for
// every caller.
func ExampleConn_Session() {
	addr, stop := serveEcho()
	defer stop()

	type session struct{ greeting string }
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{
		Backend: slotpool.Open[*pool.Member],
		AfterConnect: func(ctx context.Context, c *conn.Conn) (any, error) {
			s := &session{}
			err := c.Do(ctx, func() (err error) {
				s.greeting, err = call(c, "hello")
				return err
			})
			return s, err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()

	err = p.Do(ctx, func(c *pool.Conn) error {
		fmt.Println(c.Session().(*session).greeting)
		return nil
	})
	fmt.Println(err)
	// Output:
	// hello
	// <nil>
}

// Replace a pooled connection that turns out dead before anything was sent.
// With the probe, which is on by default, that is rare.
func ExampleConn_Replace() {
	addr, stop := serveEcho()
	defer stop()
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()

	c, err := p.Get(ctx)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.NetConn().Close() // something breaks it
	reply, err := call(c, "one")
	var safe interface{ SafeToRetry() bool }
	if errors.As(err, &safe) && safe.SafeToRetry() {
		if err = c.Replace(ctx); err != nil {
			log.Fatal(err)
		}
		reply, err = call(c, "one again")
	}
	fmt.Println(reply, err)
	_ = c.Close()
	// Output: one again <nil>
}

// evictions implements pool.EvictHook.
type evictions struct{}

func (evictions) AfterEvict(e pool.EvictEvent) { fmt.Println("closed:", e.Reason) }

// A hook implements one or more of the hook interfaces.
func ExampleEvictHook() {
	addr, stop := serveEcho()
	defer stop()
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{Hooks: []any{evictions{}}})
	if err != nil {
		log.Fatal(err)
	}
	c, err := p.Get(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	c.Evict()
	_ = p.Shutdown(context.Background())
	// Output: closed: discarded
}

// An error says why there was no connection, and how full the pool was.
func ExampleError() {
	addr, stop := serveEcho()
	defer stop()
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{MaxConns: 1})
	if err != nil {
		log.Fatal(err)
	}
	c, err := p.Get(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond) // or Config.GetTimeout
	defer cancel()
	_, err = p.Get(ctx)
	var perr *pool.Error
	if errors.As(err, &perr) {
		fmt.Println(perr.Timeout(), perr.Open, perr.Idle, perr.MaxConns)
	}
	_ = c.Close()
	_ = p.Shutdown(context.Background())
	// Output: true 1 0 1
}

// The settings of a pool that a busy service may have. Every field may be left
// out.
func ExampleConfig() {
	config := pool.Config{
		Backend:     slotpool.Open[*pool.Member],
		MaxConns:    100,
		MinIdle:     10,
		MaxWaiters:  1000,
		GetTimeout:  time.Second,
		MaxIdleTime: time.Minute,
	}
	fmt.Println(config.Validate())
	config.MinIdle = 200
	var invalid *pool.ConfigError
	if errors.As(config.Validate(), &invalid) {
		fmt.Println(invalid.Field, invalid.Problem)
	}
	// Output:
	// <nil>
	// MinIdle is larger than MaxConns
}

// Evict a connection that nobody should use again: here, because the reply to
// what was sent is not waited for.
func ExampleConn_Evict() {
	addr, stop := serveEcho()
	defer stop()
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()

	c, err := p.Get(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Write([]byte("goodbye")); err != nil {
		log.Fatal(err)
	}
	c.Evict()
	fmt.Println("idle:", p.Stat().Idle, "discarded:", p.Stat().Evictions[pool.Discarded])
	// Output: idle: 0 discarded: 1
}
