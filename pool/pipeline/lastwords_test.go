package pipeline_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// unwritable is a connection whose writes fail.
type unwritable struct {
	net.Conn
	err error
}

func (c unwritable) Write([]byte) (int, error) { return 0, c.err }

// Where a write fails because the peer has left, what it said before is waited for, for
// a second. Other errors, and peers that say no goodbye, end the connection at once.
func TestLastWords(t *testing.T) {
	errLocal := errors.New("local")
	for name, tc := range map[string]struct {
		goodbye string
		err     error
		says    bool // the peer says goodbye after half a second
		lasts   time.Duration
	}{
		"it said goodbye":               {"bye", syscall.EPIPE, true, time.Second / 2},
		"it was reset and said goodbye": {"bye", syscall.ECONNRESET, true, time.Second / 2},
		"it said nothing":               {"bye", syscall.EPIPE, false, time.Second},
		"goodbyes are not agreed":       {"", syscall.EPIPE, false, 0},
		"it failed on this side":        {"bye", errLocal, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dials := 0
			inBubbleDialing(t, pipeline.Config{Goodbye: []byte(tc.goodbye)}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
				nc, err := l.Dial(ctx)
				if dials++; dials > 1 || err != nil {
					return nc, err
				}
				return unwritable{nc, tc.err}, nil
			}, func(b *bubble) {
				begun := time.Now()
				first := b.call(bg, "first")
				p := b.accept()
				synctest.Wait()
				if tc.lasts > 0 { // the next call does not wait with it
					next := b.call(bg, "next")
					q := b.accept()
					q.asked("next")
					q.reply("to next")
					next.replied("to next")
					require.Equal(b, begun, time.Now())
					if tc.says {
						time.Sleep(time.Second / 2)
						p.reply("bye")
					}
					q.asked("first") // nothing of it was written, so it is moved
					require.Equal(b, tc.lasts, time.Since(begun))
					q.reply("to first")
					first.replied("to first")
				} else if tc.err == errLocal {
					first.failed(errLocal, false)
				} else {
					q := b.accept()
					q.asked("first")
					q.reply("to first")
					first.replied("to first")
				}
				require.Equal(b, tc.lasts, time.Since(begun))
				require.NoError(b, p.Close())
			})
		})
	}
}
