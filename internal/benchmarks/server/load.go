package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

// echoRate is requests a second over n connections with one request in flight on
// each. Every answer is compared.
func echoRate(addr string, n int, length time.Duration) (float64, error) {
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := echo.DialAndEcho(addr)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		conns[i] = c
	}
	counts, errs := make([]int, n), make([]error, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range conns {
		wg.Go(func() {
			req, resp := echo.Frame(), make([]byte, 2+echo.Payload)
			count := 0 // not counts[i], which shares its cache line with others
			for ; errs[i] == nil && (count%16 != 0 || time.Since(start) < length); count++ {
				errs[i] = echo.RoundTrip(c, req, resp)
			}
			counts[i] = count
		})
	}
	wg.Wait()
	total := 0
	for _, count := range counts {
		total += count
	}
	return float64(total) / time.Since(start).Seconds(), errors.Join(errs...)
}

// pipelineRate is requests a second on one connection with about 1 MB of them
// unanswered at any time. It ends when every byte sent has been answered.
func pipelineRate(addr string, length time.Duration) (float64, error) {
	const frames = 1000 // written at once
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(length + 10*time.Second)); err != nil {
		return 0, err
	}
	chunk := bytes.Repeat(echo.Frame(), frames)
	window := make(chan struct{}, 16)
	failed := make(chan error, 1)
	start := time.Now()
	go func() {
		defer close(window)
		for time.Since(start) < length {
			window <- struct{}{}
			if _, err := c.Write(chunk); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	buf := make([]byte, len(chunk))
	chunks := 0
	for range window {
		if err == nil { // else drain the window, for the writer may wait for it
			if _, err = io.ReadFull(c, buf); err == nil {
				err = echo.Same(chunk, buf)
			}
		}
		chunks++
	}
	return float64(chunks*frames) / time.Since(start).Seconds(), errors.Join(err, <-failed)
}
