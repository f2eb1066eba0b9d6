// Command modbus speaks a protocol that exists: Modbus/TCP, whose frames carry
// a number that pairs a reply with its request. Many callers read registers over
// one connection, and a slow reply holds up nobody. Look at wire, the Format,
// and at Match in newClient: that is all of the protocol that the client needs.
//
//	go run ./examples/modbus
//
// Without -addr it starts a small server of its own, in which registers from
// 1000 on are slow.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// wire is the frame of Modbus/TCP: a transaction number and a protocol number
// of 2 bytes each, a length of 2 bytes that counts what follows it, a unit
// number, a function code and its data. Strip is negative: the whole frame is
// the payload, since the number is in front of the length.
var wire = framing.Format{LengthOffset: 4, HeaderSize: 2, Strip: -1, MaxSize: 260}

const (
	headerSize  = 7 // up to the function code
	readHolding = 3 // the function code of "read holding registers"
	failedBit   = 0x80
)

func main() {
	addr := flag.String("addr", "", "`address` of a Modbus/TCP server; empty starts one here")
	callers := flag.Int("callers", 64, "goroutines that read")
	reads := flag.Int("reads", 100, "reads of each")
	flag.Parse()
	if err := run(context.Background(), *addr, *callers, *reads, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "modbus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, callers, reads int, out io.Writer) (err error) {
	if addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		srv := newServer()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		defer func() {
			_ = srv.Close()
			<-served
		}()
		addr = l.Addr().String()
		fmt.Fprintln(out, "no -addr: started a server here")
	}
	client := newClient(addr)
	defer func() { err = errors.Join(err, client.Shutdown(ctx)) }()

	var fast, slow atomic.Int64
	failures := make(chan error, callers)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range reads {
				register, count := uint16(caller), &fast
				if i == 0 && caller%8 == 0 {
					register, count = 1000, &slow
				}
				values, err := read(ctx, client, 1, register, 2)
				if err != nil {
					failures <- err
					return
				}
				if values[0] != register || values[1] != register+1 {
					failures <- fmt.Errorf("register %d holds %v", register, values)
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		return err
	}
	fmt.Fprintf(out, "%d fast reads and %d slow ones, connections: %d\n", fast.Load(), slow.Load(), client.Stat().Pipeline.Dials)

	var exception Exception
	if _, err := read(ctx, client, 1, 0xffff, 2); errors.As(err, &exception) {
		fmt.Fprintln(out, "reading past the end:", exception)
	}
	return nil
}

// newClient returns a client of a Modbus/TCP server. It puts a transaction
// number of its own into each request, so the callers need none.
func newClient(addr string) *gtcp.Client {
	probe := request(1, 0, 1)
	return gtcp.NewClient(addr, gtcp.ClientConfig{
		Shared: true,
		Format: wire,
		Match:  pipeline.Number{Offset: 0, Size: 2},
		Pipeline: pipeline.Config{
			// A device that vanishes without a word is noticed within 15 s.
			Heartbeat: pipeline.Heartbeat{Interval: 10 * time.Second, Timeout: 5 * time.Second, Request: probe},
		},
	})
}

// request is a request to read count holding registers from the first on.
func request(unit byte, first, count uint16) []byte {
	b := make([]byte, headerSize, headerSize+5) // the length is filled in when it is sent
	b[headerSize-1] = unit
	b = append(b, readHolding)
	b = binary.BigEndian.AppendUint16(b, first)
	return binary.BigEndian.AppendUint16(b, count)
}

// read returns the values of count holding registers. Its error is an Exception
// if the device refused.
func read(ctx context.Context, client *gtcp.Client, unit byte, first, count uint16) ([]uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	reply, err := client.CallWith(ctx, nil, request(unit, first, count), gtcp.CallOptions{Idempotent: true})
	if err != nil {
		return nil, err
	}
	data := reply[min(headerSize, len(reply)):]
	switch {
	case len(data) == 2 && data[0] == readHolding|failedBit:
		return nil, Exception(data[1])
	case len(data) != 2+2*int(count) || data[0] != readHolding:
		return nil, fmt.Errorf("unexpected reply % x", reply)
	}
	values := make([]uint16, count)
	for i := range values {
		values[i] = binary.BigEndian.Uint16(data[2+2*i:])
	}
	return values, nil
}

// Exception is the code with which a device refuses a request.
type Exception byte

// Error returns the code and, for the usual ones, its meaning.
func (e Exception) Error() string {
	meaning := map[Exception]string{1: "illegal function", 2: "illegal data address", 3: "illegal data value"}[e]
	return fmt.Sprintf("modbus exception %d %s", byte(e), meaning)
}

// Kind says to metrics that the device has replied.
func (e Exception) Kind() string { return conn.KindApplication }
