package envelope_test

import (
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// BenchmarkFrame makes and takes apart frames of 64 bytes, bare, with the
// smallest envelope and with a full one.
func BenchmarkFrame(b *testing.B) {
	payload := make([]byte, 64)
	all := full()
	for name, e := range map[string]*envelope.Envelope{"bare": nil, "smallest": {}, "full": &all} {
		b.Run(name, func(b *testing.B) {
			w := framing.NewWriter(io.Discard, framing.Format{})
			frame := make([]byte, 0, 512)
			var got envelope.Envelope
			b.ReportAllocs()
			for b.Loop() {
				frame = frame[:0]
				var err error
				if e != nil {
					if frame, err = e.Append(frame); err != nil {
						b.Fatal(err)
					}
				}
				frame = append(frame, payload...)
				if err := w.WriteFrame(frame); err != nil {
					b.Fatal(err)
				}
				if e == nil {
					continue
				}
				if _, err := got.Parse(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
