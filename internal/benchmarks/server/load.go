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

// onEach makes requests over n connections, with one in flight on each. Every
// answer is compared.
func onEach(n int) measure {
	return func(addr string, length time.Duration) (int, time.Duration, error) { return echoes(addr, n, length) }
}

func echoes(addr string, n int, length time.Duration) (int, time.Duration, error) {
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := echo.DialAndEcho(addr)
		if err != nil {
			return 0, 0, err
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
	return total, time.Since(start), errors.Join(errs...)
}

// pipeline makes requests on one connection, with about 1 MB of them unanswered at
// any time. It ends when every byte sent has been answered.
func pipeline(addr string, length time.Duration) (int, time.Duration, error) {
	const frames = 1000 // written at once
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(length + 10*time.Second)); err != nil {
		return 0, 0, err
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
	return chunks * frames, time.Since(start), errors.Join(err, <-failed)
}
