package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const payload = 64

// frame is one request on the wire.
func frame() []byte {
	b := binary.BigEndian.AppendUint16(nil, payload)
	return append(b, bytes.Repeat([]byte("x"), payload)...)
}

// waitReady returns once the server at addr has answered a request.
func waitReady(addr string) {
	for range 200 {
		if ready(addr) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(fmt.Errorf("no server at %s", addr))
}

func ready(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	if _, err := c.Write(frame()); err != nil {
		return false
	}
	_, err = io.ReadFull(c, make([]byte, payload+2))
	return err == nil
}

// echoRate is requests a second over n connections with one request in flight on
// each. Every answer is compared.
func echoRate(addr string, n int, length time.Duration) float64 {
	conns := make([]net.Conn, n)
	for i := range conns {
		var err error
		conns[i], err = net.Dial("tcp", addr)
		must(err)
		defer conns[i].Close()
		roundTrip(conns[i], frame(), make([]byte, payload+2))
	}
	var total atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for _, c := range conns {
		wg.Go(func() {
			req, resp := frame(), make([]byte, payload+2)
			count := int64(0)
			for ; count%16 != 0 || time.Since(start) < length; count++ {
				roundTrip(c, req, resp)
			}
			total.Add(count)
		})
	}
	wg.Wait()
	return float64(total.Load()) / time.Since(start).Seconds()
}

func roundTrip(c net.Conn, req, resp []byte) {
	_, err := c.Write(req)
	must(err)
	_, err = io.ReadFull(c, resp)
	must(err)
	if !bytes.Equal(req, resp) {
		must(fmt.Errorf("the answer is not the request"))
	}
}

// pipelineRate is requests a second on one connection with about 1 MB of them
// unanswered at any time. It ends when every byte sent has been answered.
func pipelineRate(addr string, length time.Duration) float64 {
	c, err := net.Dial("tcp", addr)
	must(err)
	defer c.Close()
	must(c.SetDeadline(time.Now().Add(length + 10*time.Second)))
	chunk := bytes.Repeat(frame(), 1000)
	window := make(chan struct{}, 16)
	start := time.Now()
	go func() {
		for time.Since(start) < length {
			window <- struct{}{}
			_, err := c.Write(chunk)
			must(err)
		}
		close(window)
	}()
	buf := make([]byte, len(chunk))
	chunks := 0
	for range window {
		_, err := io.ReadFull(c, buf)
		must(err)
		if !bytes.Equal(buf, chunk) {
			must(fmt.Errorf("the answers are not the requests"))
		}
		chunks++
	}
	return float64(chunks*1000) / time.Since(start).Seconds()
}

// idle prints the resident bytes that n connections cost each server.
func idle(names []string, n int) {
	fmt.Printf("%-10s %16s %12s\n", "server", "bytes/connection", "ours / it")
	var ours float64
	for i, name := range names {
		cost := idleCost(name, n)
		if i == 0 {
			ours = cost
		}
		fmt.Printf("%-10s %16.0f %12.2f\n", name, cost, ours/cost)
	}
}

func idleCost(name string, n int) float64 {
	s := startChild(name)
	defer s.stop()
	warm, err := net.Dial("tcp", s.addr)
	must(err)
	roundTrip(warm, frame(), make([]byte, payload+2))
	s.collect()
	before := rss(s.cmd.Process.Pid)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i], err = net.Dial("tcp", s.addr)
		must(err)
		roundTrip(conns[i], frame(), make([]byte, payload+2))
	}
	s.collect()
	after := rss(s.cmd.Process.Pid)
	for _, c := range conns {
		_ = c.Close()
	}
	_ = warm.Close()
	return float64(after-before) / float64(n)
}

// rss is the resident set of a process in bytes.
func rss(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	must(err)
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	must(err)
	return pages * int64(os.Getpagesize())
}
