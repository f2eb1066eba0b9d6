package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"

	"github.com/gogf/gf/v2/net/gtcp"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/loopback"
)

// candidate does run again and again, each time after prepare unless it is nil.
func candidate(name string, prepare, run func() error) compare.Candidate {
	return compare.Candidate{Name: name, Prepare: prepare, Do: func(n int) error {
		for range n {
			if err := run(); err != nil {
				return err
			}
		}
		return nil
	}}
}

// lines reads a line of 64 KiB that lies in the socket.
func lines() (compare.Comparison, error) {
	line := append(bytes.Repeat([]byte("x"), 64<<10-1), '\n')
	delim := []byte("\n")
	reused := make([]byte, 0, len(line))
	check := func(got []byte, err error) error {
		if err == nil && len(got) < len(line)-1 {
			return errors.New("a short line")
		}
		return err
	}
	ways := []struct {
		name string
		open func(nc net.Conn) func() error
	}{
		{"bufio.ReadBytes, 64 KiB buffer", func(nc net.Conn) func() error {
			r := bufio.NewReaderSize(nc, 64<<10)
			return func() error { return check(r.ReadBytes('\n')) }
		}},
		{"bufio.ReadBytes, default buffer", func(nc net.Conn) func() error {
			r := bufio.NewReader(nc)
			return func() error { return check(r.ReadBytes('\n')) }
		}},
		{"bufio.ReadSlice, 64 KiB buffer", func(nc net.Conn) func() error {
			r := bufio.NewReaderSize(nc, 64<<10)
			return func() error { return check(r.ReadSlice('\n')) }
		}},
		{"conn.ReadUntil, new slice", func(nc net.Conn) func() error {
			c := conn.New(nc)
			return func() error { return check(c.ReadUntil(nil, delim, 0)) }
		}},
		{"conn.ReadUntil, reused slice", func(nc net.Conn) func() error {
			c := conn.New(nc)
			return func() error { return check(c.ReadUntil(reused[:0], delim, 0)) }
		}},
		{"gtcp.RecvLine", func(nc net.Conn) func() error {
			c := gtcp.NewConnByNetConn(nc)
			return func() error { return check(c.RecvLine()) }
		}},
	}
	var cs []compare.Candidate
	for _, way := range ways {
		nc, peer, err := loopback.Pair()
		if err != nil {
			return compare.Comparison{}, err
		}
		cs = append(cs, candidate(way.name, func() error { _, err := peer.Write(line); return err }, way.open(nc)))
	}
	return compare.Comparison{
		Title:      "A line of 64 KiB by its delimiter",
		Candidates: cs,
		Goals: []compare.Goal{
			{Ref: "2.2", Says: "at least 20 times as fast as gtcp's RecvLine", Of: "gtcp.RecvLine", To: []string{"conn.ReadUntil, new slice"}, Want: compare.AtLeast(20)},
			{Ref: "2.2", Says: "within 1.3 times bufio", Of: "conn.ReadUntil, new slice",
				To: []string{"bufio.ReadBytes, 64 KiB buffer", "bufio.ReadBytes, default buffer"}, Want: compare.AtMost(1.3)},
		},
	}, nil
}

// checks asks a connection that is alive and silent.
func checks() (compare.Comparison, error) {
	nc, peer, err := loopback.Pair()
	if err != nil {
		return compare.Comparison{}, err
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		return compare.Comparison{}, err
	}
	var buf [1]byte
	var errno error
	peek := func(fd uintptr) bool {
		_, _, errno = syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
	control := func(fd uintptr) { peek(fd) }
	alive := func(err error) error {
		runtime.KeepAlive(peer) // which would be closed when it is collected
		if err != nil || errno != syscall.EAGAIN {
			return errors.Join(errors.New("not alive and silent"), err, errno)
		}
		return nil
	}
	c := conn.New(nc)
	return compare.Comparison{
		Title: "Health check of a connection that is alive",
		Candidates: []compare.Candidate{
			candidate("bare MSG_PEEK, RawConn.Read", nil, func() error { return alive(raw.Read(peek)) }),
			candidate("bare MSG_PEEK, RawConn.Control", nil, func() error { return alive(raw.Control(control)) }),
			candidate("conn.Check", nil, c.Check),
			candidate("conn.Reusable", nil, c.Reusable),
		},
		Goals: []compare.Goal{
			{Ref: "2.3", Says: "no allocations", Of: "conn.Check", Allocs: true, Want: compare.AtMost(0)},
			{Ref: "2.3", Says: "within 1.2 times a bare cached MSG_PEEK", Of: "conn.Check", To: []string{"bare MSG_PEEK, RawConn.Read"}, Want: compare.AtMost(1.2)},
		},
	}, nil
}

// contexts puts a context over a function that does nothing.
func contexts() (compare.Comparison, error) {
	nc, peer, err := loopback.Pair()
	if err != nil {
		return compare.Comparison{}, err
	}
	c := conn.New(nc)
	cancellable, cancel := context.WithCancel(context.Background())
	_ = cancel // it lives as long as the program
	timed, cancel := context.WithTimeout(context.Background(), time.Hour)
	_ = cancel
	nothing := func() error { return nil }
	under := func(ctx context.Context) func() error {
		return func() error { return c.Do(ctx, nothing) }
	}
	interrupt := func() {
		runtime.KeepAlive(peer) // which would be closed when it is collected
		_ = nc.SetDeadline(time.Unix(1, 0))
	}
	candidates := []compare.Candidate{
		candidate("by hand: AfterFunc, SetDeadline twice", nil, func() error {
			deadline, _ := timed.Deadline()
			if err := nc.SetDeadline(deadline); err != nil {
				return err
			}
			stop := context.AfterFunc(timed, interrupt)
			err := nothing()
			if !stop() {
				return errors.New("interrupted")
			}
			return errors.Join(err, nc.SetDeadline(time.Time{}))
		}),
		candidate("conn.Do, context with a deadline", nil, under(timed)),
		candidate("conn.Do, context that can be cancelled", nil, under(cancellable)),
		candidate("conn.Do, context.Background", nil, under(context.Background())),
	}
	return compare.Comparison{
		Title:      "A context over nothing",
		Candidates: candidates,
		Goals: []compare.Goal{
			{Ref: "2.3", Says: "at most 3 allocations for a context that can be cancelled", Of: "conn.Do, context that can be cancelled", Allocs: true, Want: compare.AtMost(3)},
			{Ref: "2.3", Says: "none for context.Background", Of: "conn.Do, context.Background", Allocs: true, Want: compare.AtMost(0)},
		},
	}, nil
}

// writes sends a header of 2 bytes and a payload, and has the peer take both
// before the next.
func writes(size int) func() (compare.Comparison, error) {
	return func() (compare.Comparison, error) {
		bufs := [][]byte{make([]byte, 2), make([]byte, size)}
		joined := make([]byte, 0, size+2)
		store := make([][]byte, 2)
		ways := []struct {
			name  string
			write func(nc net.Conn, c *conn.Conn) error
		}{
			{"copied, one write", func(nc net.Conn, _ *conn.Conn) error {
				_, err := nc.Write(append(append(joined[:0], bufs[0]...), bufs[1]...))
				return err
			}},
			{"net.Buffers", func(nc net.Conn, _ *conn.Conn) error {
				copy(store, bufs)
				v := net.Buffers(store)
				_, err := v.WriteTo(nc)
				return err
			}},
			{"conn.WriteBuffers", func(_ net.Conn, c *conn.Conn) error {
				_, err := c.WriteBuffers(bufs)
				return err
			}},
		}
		var cs []compare.Candidate
		for _, way := range ways {
			nc, peer, err := loopback.Pair()
			if err != nil {
				return compare.Comparison{}, err
			}
			c, in, full := conn.New(nc), make([]byte, size+2), false
			cs = append(cs, candidate(way.name,
				func() error {
					if !full {
						full = true
						return nil
					}
					_, err := io.ReadFull(peer, in)
					return err
				},
				func() error { return way.write(nc, c) },
			))
		}
		return compare.Comparison{Title: fmt.Sprintf("A write of 2 bytes and %d KiB", size>>10), Candidates: cs}, nil
	}
}
