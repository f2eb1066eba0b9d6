package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/gogf/gf/v2/net/gtcp"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// pair returns the two ends of a connection on loopback. They stay open until
// the program ends.
func pair() (*net.TCPConn, *net.TCPConn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	b, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return a.(*net.TCPConn), b.(*net.TCPConn), nil
}

// lines reads a line of 64 KiB that lies in the socket.
func lines() (string, []contestant, error) {
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
	var cs []contestant
	for _, way := range ways {
		nc, peer, err := pair()
		if err != nil {
			return "", nil, err
		}
		cs = append(cs, contestant{way.name, func() error { _, err := peer.Write(line); return err }, way.open(nc)})
	}
	return "a line of 64 KiB by delimiter", cs, nil
}

// checks asks a connection that is alive and silent.
func checks() (string, []contestant, error) {
	nc, _, err := pair()
	if err != nil {
		return "", nil, err
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		return "", nil, err
	}
	var buf [1]byte
	var errno error
	peek := func(fd uintptr) bool {
		_, _, errno = syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
	control := func(fd uintptr) { peek(fd) }
	alive := func(err error) error {
		if err != nil || errno != syscall.EAGAIN {
			return errors.Join(errors.New("not alive and silent"), err, errno)
		}
		return nil
	}
	c := conn.New(nc)
	return "health check of a connection that is alive", []contestant{
		{"bare MSG_PEEK, RawConn.Read", nil, func() error { return alive(raw.Read(peek)) }},
		{"bare MSG_PEEK, RawConn.Control", nil, func() error { return alive(raw.Control(control)) }},
		{"conn.Check", nil, c.Check},
		{"conn.Reusable", nil, c.Reusable},
	}, nil
}

// contexts puts a context over a function that does nothing.
func contexts() (string, []contestant, error) {
	nc, _, err := pair()
	if err != nil {
		return "", nil, err
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
	interrupt := func() { _ = nc.SetDeadline(time.Unix(1, 0)) }
	return "a context over nothing", []contestant{
		{"by hand: AfterFunc, SetDeadline twice", nil, func() error {
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
		}},
		{"conn.Do, context with a deadline", nil, under(timed)},
		{"conn.Do, context that can be cancelled", nil, under(cancellable)},
		{"conn.Do, context.Background", nil, under(context.Background())},
	}, nil
}

// writes sends a header of 2 bytes and a payload, and has the peer take both
// before the next.
func writes(size int) func() (string, []contestant, error) {
	return func() (string, []contestant, error) {
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
		var cs []contestant
		for _, way := range ways {
			nc, peer, err := pair()
			if err != nil {
				return "", nil, err
			}
			c, in, full := conn.New(nc), make([]byte, size+2), false
			cs = append(cs, contestant{way.name,
				func() error {
					if !full {
						full = true
						return nil
					}
					_, err := io.ReadFull(peer, in)
					return err
				},
				func() error { return way.write(nc, c) },
			})
		}
		return fmt.Sprintf("a write of 2 bytes and %d KiB", size>>10), cs, nil
	}
}
