package framing_test

import (
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// tcpPair is a connection on loopback.
func tcpPair(b *testing.B) (*conn.Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close(); peer.Close() })
	return conn.New(nc), peer
}

var benchSizes = []int{1 << 10, 8 << 10, 16 << 10, 32 << 10, 48 << 10, 64<<10 - 1, 128 << 10, 1 << 20, 16 << 20}

// BenchmarkWriterOverTCP writes frames of several sizes, a flush after 16.
func BenchmarkWriterOverTCP(b *testing.B) {
	for _, size := range benchSizes[:7] {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			c, peer := tcpPair(b)
			go func() {
				buf := make([]byte, 256<<10)
				for {
					if _, err := peer.Read(buf); err != nil {
						return
					}
				}
			}()
			w := framing.NewWriter(c, framing.Format{HeaderSize: 4})
			p := make([]byte, size)
			b.SetBytes(int64(size))
			for n := 0; b.Loop(); n++ {
				if err := w.WriteFrame(p); err != nil {
					b.Fatal(err)
				}
				if n%16 == 15 {
					if err := w.Flush(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkReaderOverTCP reads frames of several sizes, beside a bare copy of
// the same bytes.
func BenchmarkReaderOverTCP(b *testing.B) {
	for _, size := range benchSizes {
		run := func(name string, read func(c *conn.Conn, r *framing.Reader, p []byte) error) {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				c, peer := tcpPair(b)
				frame, err := framing.Format{HeaderSize: 4, MaxSize: -1}.Append(nil, make([]byte, size))
				if err != nil {
					b.Fatal(err)
				}
				for len(frame) < 256<<10 {
					frame = append(frame, frame...)
				}
				go func() {
					for {
						if _, err := peer.Write(frame); err != nil {
							return
						}
					}
				}()
				r := framing.NewReader(c, framing.Format{HeaderSize: 4, MaxSize: -1})
				r.Exclusive = true
				p := make([]byte, size+4)
				b.SetBytes(int64(size))
				for b.Loop() {
					if err := read(c, r, p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("bare", func(c *conn.Conn, _ *framing.Reader, p []byte) error {
			_, err := io.ReadFull(c, p)
			return err
		})
		run("Next", func(_ *conn.Conn, r *framing.Reader, _ []byte) error {
			_, err := r.Next()
			return err
		})
		run("ReadFrame", func(_ *conn.Conn, r *framing.Reader, p []byte) error {
			_, err := r.ReadFrame(p[:0])
			return err
		})
	}
}
