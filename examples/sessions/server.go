package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// service is a small server of the protocol, so that the example needs no other.
type service struct {
	secret   atomic.Pointer[string]
	sessions atomic.Int64

	mu  sync.Mutex // guards log
	log []string
}

// start starts the service on a free port of this machine.
func start() (s *service, addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	s = &service{}
	srv := &server.Server{Handler: server.HandlerFunc(s.serve)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	return s, l.Addr().String(), func() error {
		err := srv.Close()
		<-served
		return err
	}, nil
}

var values = map[string]string{"green/apple": "1", "red/apple": "2"}

// serve is the handler of a connection.
func (s *service) serve(_ context.Context, c *conn.Conn) {
	number := s.sessions.Add(1)
	database, known := "", false
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			return
		}
		line, err := c.ReadUntil(nil, []byte("\n"), 1<<10)
		if err != nil {
			return
		}
		command, word, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		reply := "OK "
		switch {
		case command == "LOGIN" && word == *s.secret.Load():
			known = true
			reply += fmt.Sprint(number)
		case !known:
			reply = "ERR log in first, with the right secret"
		case command == "PING":
		case command == "USE":
			database = word
		case command == "RESET":
			database = ""
		case command == "GET" && values[database+"/"+word] != "":
			reply += values[database+"/"+word]
		case command == "GET":
			reply = "ERR no such key"
		case command == "LOG":
			s.mu.Lock()
			s.log = append(s.log, word)
			s.mu.Unlock()
		default:
			reply = "ERR no such command"
		}
		if _, err := c.Write([]byte(reply + "\n")); err != nil {
			return
		}
	}
}
