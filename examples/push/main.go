// Command push is a small chat: a server that sends on its own, and clients
// that get what they did not ask for, over the connections they also call on.
// Look at frame, the protocol; at hub.say, where the server sends with
// server.Send; and at join, where a client has OnPush and a heartbeat.
//
//	go run ./examples/push
//
// It starts a server and three clients here, lets each say a word, and prints
// who heard what.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// Each frame begins with a number of 2 bytes. A reply has that of its request.
// The number 0 marks a frame that is no reply: a message of the chat.
const numberSize = 2

// frame returns the frame with number 0 and a text.
func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, 0), text...)
}

func main() {
	if err := run(context.Background(), []string{"Anna", "Ben", "Cy"}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "push:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, out io.Writer) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv, chat := newServer()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		_ = srv.Close()
		<-served
		chat.senders.Wait()
	}()

	log := &chatLog{heard: map[string][]string{}, want: len(names) * len(names), done: make(chan struct{})}
	var members []*gtcp.Client
	for _, name := range names {
		c, err := join(ctx, l.Addr().String(), name, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		members = append(members, c)
	}
	for i, c := range members {
		if _, err := c.Call(ctx, frame("say hello from "+names[i])); err != nil {
			return err
		}
	}
	select {
	case <-log.done:
	case <-time.After(10 * time.Second):
		return errors.New("not everybody heard everything")
	}
	for _, name := range names {
		fmt.Fprintf(out, "%s heard %q\n", name, log.of(name))
	}
	return nil
}

// join connects a member of the chat. A server that is silent for 15 seconds is
// gone: the heartbeat notices, although nobody is calling.
func join(ctx context.Context, addr, name string, log *chatLog) (*gtcp.Client, error) {
	c := gtcp.NewClient(addr, gtcp.ClientConfig{
		Shared: true,
		Match:  pipeline.Number{Size: numberSize},
		Pipeline: pipeline.Config{
			OnPush:    func(_ context.Context, p *pipeline.Push) { log.add(name, string(p.Frame[numberSize:])) },
			Heartbeat: pipeline.Heartbeat{Interval: 10 * time.Second, Timeout: 5 * time.Second, Request: frame("ping")},
		},
	})
	_, err := c.Call(ctx, frame("join"))
	return c, err
}

// chatLog is what each member has heard.
type chatLog struct {
	mu    sync.Mutex // guards heard and want
	heard map[string][]string
	want  int           // messages still to come
	done  chan struct{} // closed when all have come
}

func (l *chatLog) add(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[name] = append(l.heard[name], text)
	if l.want--; l.want == 0 {
		close(l.done)
	}
}

func (l *chatLog) of(name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := slices.Clone(l.heard[name])
	slices.Sort(heard)
	return heard
}
