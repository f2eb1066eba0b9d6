package framing_test

import (
	"bufio"
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// loop is an endless stream that repeats one frame.
type loop struct {
	data []byte
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], l.data[l.at:])
		n += m
		l.at = (l.at + m) % len(l.data)
	}
	return n, nil
}

func newLoop(size int) *loop {
	frame, _ := framing.Format{}.Append(nil, make([]byte, size))
	l := &loop{}
	for range 1000 {
		l.data = append(l.data, frame...)
	}
	return l
}

func BenchmarkNext(b *testing.B) {
	for name, r := range map[string]*framing.Reader{
		"own buffer": framing.NewReader(newLoop(64), framing.Format{}),
		"bufio":      framing.NewReader(bufio.NewReaderSize(newLoop(64), 16<<10), framing.Format{}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadFrame(b *testing.B) {
	r := framing.NewReader(bufio.NewReaderSize(newLoop(64), 16<<10), framing.Format{})
	b.ReportAllocs()
	var dst []byte
	var err error
	for b.Loop() {
		if dst, err = r.ReadFrame(dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteFrame(b *testing.B) {
	w := framing.NewWriter(io.Discard, framing.Format{})
	p := make([]byte, 64)
	b.Run("coalesced", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := w.WriteFrame(p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("flushed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := w.WriteFrame(p); err != nil {
				b.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst, _ = framing.Format{}.Append(dst[:0], p)
		}
	})
}

// BenchmarkFloor is the least anyone can do: the same bytes, by hand.
func BenchmarkFloor(b *testing.B) {
	b.Run("read", func(b *testing.B) {
		br := bufio.NewReaderSize(newLoop(64), 16<<10)
		for b.Loop() {
			h, err := br.Peek(2)
			if err != nil {
				b.Fatal(err)
			}
			n := 2 + int(h[0])<<8 + int(h[1])
			if _, err := br.Peek(n); err != nil {
				b.Fatal(err)
			}
			if _, err := br.Discard(n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		bw := make([]byte, 0, 64<<10)
		p := make([]byte, 64)
		for b.Loop() {
			if len(bw)+66 > cap(bw) {
				bw = bw[:0]
			}
			bw = append(bw, byte(len(p)>>8), byte(len(p)))
			bw = append(bw, p...)
		}
	})
}

// BenchmarkHeaders compares plain headers, which have a short way, with others.
func BenchmarkHeaders(b *testing.B) {
	for name, f := range map[string]framing.Format{
		"2": {}, "4": {HeaderSize: 4}, "varint": {HeaderSize: framing.Varint},
	} {
		frame, _ := f.Append(nil, make([]byte, 64))
		l := &loop{}
		for range 1000 {
			l.data = append(l.data, frame...)
		}
		b.Run("Next/"+name, func(b *testing.B) {
			r := framing.NewReader(l, f)
			for b.Loop() {
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
		p := make([]byte, 64)
		b.Run("WriteFrame/"+name, func(b *testing.B) {
			w := framing.NewWriter(io.Discard, f)
			for b.Loop() {
				if err := w.WriteFrame(p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Append/"+name, func(b *testing.B) {
			e, _ := framing.NewEncoder(f)
			dst := make([]byte, 0, 128)
			for b.Loop() {
				dst, _ = e.Append(dst[:0], p)
			}
		})
	}
}
