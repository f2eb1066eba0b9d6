//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

const (
	roleServer = "server"
	framesPort = "9001"
	redisPort  = "9002"
	httpPort   = "9003"
	grpcPort   = "9004"
	numberSize = 8 // each request begins with its number
	maxRequest = 1 << 15
)

// executions tells the director each request that was executed, by its number:
// it must know when one is executed twice, also if this process is killed.
type executions struct {
	mu sync.Mutex // guards: w
	w  io.Writer
}

// echo executes one request: the reply is the request.
func (e *executions) echo(request []byte) ([]byte, error) {
	if len(request) < numberSize {
		return nil, errors.New("too short")
	}
	e.mu.Lock()
	_, err := e.w.Write(request[:numberSize])
	e.mu.Unlock()
	return request, err
}

// serve serves all protocols until in ends.
func serve(in io.Reader, out io.Writer) error {
	e := &executions{w: out}
	h := server.Frames(framing.Format{}, func(_ context.Context, request []byte) ([]byte, error) { return e.echo(request) })
	frames := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	web := &http.Server{Handler: http.HandlerFunc(e.serveHTTP), ReadHeaderTimeout: time.Minute}
	calls := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
	calls.RegisterService(&echoService, e)
	failed := make(chan error, 4)
	for port, serve := range map[string]func(net.Listener) error{
		framesPort: frames.Serve, httpPort: web.Serve, grpcPort: calls.Serve, redisPort: e.serveRedis,
	} {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() { failed <- serve(l) }() // ends with the process
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		close(ended)
	}()
	select {
	case err := <-failed:
		return err
	case <-ended:
		return nil
	}
}

func (e *executions) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err == nil {
		body, err = e.echo(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body)
}

// serveRedis knows ECHO, and refuses what else a client asks for.
func (e *executions) serveRedis(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				args, err := readCommand(r)
				if err != nil {
					return
				}
				reply := []byte("-ERR unknown command\r\n")
				if len(args) == 2 && strings.EqualFold(args[0], "echo") {
					body, err := e.echo([]byte(args[1]))
					if err != nil {
						return
					}
					reply = fmt.Appendf(nil, "$%d\r\n%s\r\n", len(body), body)
				}
				if _, err := c.Write(reply); err != nil {
					return
				}
			}
		}()
	}
}

// readCommand reads an array of bulk strings.
func readCommand(r *bufio.Reader) (args []string, err error) {
	n, err := readLength(r, '*')
	if err != nil {
		return nil, err
	}
	for range n {
		size, err := readLength(r, '$')
		if err != nil {
			return nil, err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(r, arg); err != nil {
			return nil, err
		}
		args = append(args, string(arg[:size]))
	}
	return args, nil
}

func readLength(r *bufio.Reader, mark byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimRight(line[1:], "\r\n"))
	if err != nil || line[0] != mark || n < 0 || n > maxRequest {
		return 0, errors.New("not a command")
	}
	return n, nil
}

// rawCodec lets gRPC carry bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "raw" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

const echoMethod = "/chaos/Echo"

var echoService = grpc.ServiceDesc{
	ServiceName: "chaos",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo",
		Handler: func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := decode(&request); err != nil {
				return nil, err
			}
			reply, err := srv.(*executions).echo(request)
			return &reply, err
		}}},
}
