//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const roleClient = "client"

// load is what one client process does: Callers call Rate times a second
// altogether. It is the first line of the process's input.
type load struct {
	Kind      string
	First     uint64 // number of the first request
	Callers   int
	Rate      int
	Timeout   time.Duration // of a call; zero means none
	Patient   time.Duration // timeout of the first caller; zero means Timeout
	LargeEach int           // one of so many requests is large; zero means none
}

const (
	smallRequest = 64
	largeRequest = 1200
	overrun      = 2 * time.Second  // a call that returns so long after its deadline hung
	lastCalls    = 20 * time.Second // what the calls in progress get at the end
)

// report is what came of it. Times are in nanoseconds since 1970.
type report struct {
	OK        []int64 // when a right reply came
	Calls     int
	Failed    int
	Wrong     int // replies that are not the request
	Hung      int
	Longest   time.Duration
	Errors    map[string]int
	Goroutine int // more than at the start, when all is closed
	Files     int // likewise
}

// workload is a client process at work.
type workload struct {
	load
	call  caller
	mu    sync.Mutex // guards: report, next, open
	rep   report
	next  uint64
	open  int           // calls in progress
	ended chan struct{} // no new calls

	pauseMu sync.RWMutex // held by the pause command
}

// callLoop obeys the commands in in, and reports when it ends.
func callLoop(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return errors.New("no load")
	}
	w := &workload{ended: make(chan struct{})}
	if err := json.Unmarshal(lines.Bytes(), &w.load); err != nil {
		return err
	}
	w.rep.Errors, w.next = map[string]int{}, w.First
	k, err := kindOf(w.Kind)
	if err != nil {
		return err
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	call, closeAll, err := k.open()
	if err != nil {
		return err
	}
	w.call = call
	var callers sync.WaitGroup
	for i := range w.Callers {
		callers.Go(func() { w.caller(i) })
	}
	for lines.Scan() {
		if err := w.obey(lines.Text()); err != nil {
			return err
		}
	}
	close(w.ended)
	returned := make(chan struct{})
	go func() { callers.Wait(); close(returned) }()
	select {
	case <-returned:
	case <-time.After(lastCalls):
	}
	err = closeAll()
	settle(func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= files })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rep.Hung += w.open
	if err != nil {
		w.rep.Errors["close: "+err.Error()]++
	}
	w.rep.Goroutine, w.rep.Files = runtime.NumGoroutine()-goroutines, openFiles()-files
	return json.NewEncoder(out).Encode(w.rep)
}

// obey does what the director says: pause, resume, nofile N (0: as at the start).
func (w *workload) obey(command string) error {
	switch word, argument, _ := strings.Cut(command, " "); word {
	case "pause":
		w.pauseMu.Lock()
	case "resume":
		w.pauseMu.Unlock()
	case "nofile":
		var n uint64
		if _, err := fmt.Sscan(argument, &n); err != nil {
			return err
		}
		return limitFiles(n)
	default:
		return fmt.Errorf("no command %q", command)
	}
	return nil
}

// caller calls at its pace until the end; it does not make up for lost time.
func (w *workload) caller(i int) {
	every := time.Duration(w.Callers) * time.Second / time.Duration(w.Rate)
	select {
	case <-w.ended:
	case <-time.After(every * time.Duration(i) / time.Duration(w.Callers)): // not all at once
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	timeout := w.Timeout
	if i == 0 && w.Patient > 0 {
		timeout = w.Patient
	}
	for n := i; ; n++ {
		select {
		case <-w.ended:
			return
		case <-tick.C:
		}
		w.awaitResume()
		w.one(timeout, w.LargeEach > 0 && n%w.LargeEach == 0)
	}
}

// awaitResume waits while the load is paused.
func (w *workload) awaitResume() {
	w.pauseMu.RLock()
	defer w.pauseMu.RUnlock()
}

func (w *workload) one(timeout time.Duration, large bool) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	request := w.begin(large)
	start := time.Now()
	reply, err := w.call(ctx, request)
	took := time.Since(start)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	w.rep.Longest = max(w.rep.Longest, took)
	if timeout > 0 && took > timeout+overrun {
		w.rep.Hung++
	}
	switch {
	case err != nil:
		w.rep.Failed++
		w.rep.Errors[brief(err)]++
	case !bytes.Equal(reply, request):
		w.rep.Wrong++
	default:
		w.rep.OK = append(w.rep.OK, start.Add(took).UnixNano())
	}
}

// begin counts a call and makes its request: its number, and bytes that follow
// from it.
func (w *workload) begin(large bool) []byte {
	w.mu.Lock()
	n := w.next
	w.next++
	w.rep.Calls++
	w.open++
	w.mu.Unlock()
	size := smallRequest
	if large {
		size = largeRequest
	}
	request := binary.BigEndian.AppendUint64(nil, n)
	for i := uint64(0); len(request) < size; i++ {
		request = append(request, byte(n*31+i))
	}
	return request
}

// brief is an error without what differs from call to call.
func brief(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	}
	text := err.Error()
	return text[:min(len(text), 60)]
}

// settle waits for what ends soon.
func settle(done func() bool) {
	for end := time.Now().Add(3 * time.Second); !done() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

var filesAtStart syscall.Rlimit

// limitFiles sets how many files the process may have open; zero means as many
// as at the start.
func limitFiles(n uint64) error {
	if filesAtStart.Cur == 0 {
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &filesAtStart); err != nil {
			return err
		}
	}
	limit := filesAtStart
	if n > 0 {
		limit.Cur = n
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
