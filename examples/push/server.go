package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/seed-99d6a01a/gtcp/server"
)

// hub knows the members of the chat.
type hub struct {
	senders sync.WaitGroup // a goroutine for each member

	mu      sync.Mutex // guards members
	members map[*member]struct{}
}

// member is a connection that has joined.
type member struct {
	ctx      context.Context // of the connection
	messages chan string
}

func newServer() (*server.Server, *hub) {
	h := &hub{members: map[*member]struct{}{}}
	return &server.Server{Handler: &server.FrameHandler{Handle: h.handle}}, h
}

// handle is the reply to one request, which begins with the request's number.
func (h *hub) handle(ctx context.Context, req []byte) ([]byte, error) {
	if len(req) < numberSize {
		return nil, fmt.Errorf("a request of %d bytes has no number", len(req))
	}
	number, text := req[:numberSize:numberSize], string(req[numberSize:])
	verb, rest, _ := strings.Cut(text, " ")
	reply := "ok"
	switch verb {
	case "join":
		h.join(ctx)
	case "say":
		h.say(rest)
	case "ping":
	default:
		reply = "what is " + verb + "?"
	}
	return append(number, reply...), nil
}

// join adds the connection of a request to the chat. Messages are sent from a
// goroutine that ends with the connection, so a member that does not read delays
// nobody else.
func (h *hub) join(ctx context.Context) {
	m := &member{ctx: ctx, messages: make(chan string, 16)}
	h.mu.Lock()
	h.members[m] = struct{}{}
	h.mu.Unlock()
	h.senders.Go(func() {
		defer h.leave(m)
		for {
			select {
			case text := <-m.messages:
				if server.Send(m.ctx, frame(text)) != nil {
					return
				}
			case <-m.ctx.Done():
				return
			}
		}
	})
}

func (h *hub) leave(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, m)
}

// say gives a message to all members. One that has 16 messages waiting misses it.
func (h *hub) say(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.members {
		select {
		case m.messages <- text:
		default:
		}
	}
}
