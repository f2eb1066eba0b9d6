package pipeline_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// The smallest frame there is, of one byte, is written when it alone waits.
func TestFrameOfOneByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, pipes: make(chan net.Conn, 16), format: framing.Format{HeaderSize: 1}}
		b.run(b.narrow(16), pipeline.Config{StallTimeout: -1}, func(b *bubble) {
			for _, size := range []int{100, 200} {
				first := b.call(bg, strings.Repeat("x", size))
				second := b.call(bg, "") // waits behind the first
				if b.peer == nil {
					nc := <-b.pipes
					b.peer = &peer{b.T, nc, framing.NewReader(nc, b.format)}
				}
				b.peer.asked(strings.Repeat("x", size))
				b.peer.asked("")
				b.peer.raw([]byte("\x011\x012"))
				first.replied("1")
				second.replied("2")
				quiet()
			}
		})
	})
}
