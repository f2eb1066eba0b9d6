package pipeline_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// Callers with deadlines of a second that keep calling lose one call each when their
// connection falls silent: the next one goes to another connection.
func TestSilenceCostsOneDeadline(t *testing.T) {
	for _, phase := range []time.Duration{0, 30 * time.Millisecond, 250 * time.Millisecond, 470 * time.Millisecond, 990 * time.Millisecond} {
		t.Run(phase.String(), func(t *testing.T) {
			inBubble(t, pipeline.Config{MaxLifetime: -1}, func(b *bubble) {
				p := b.exchange()
				for range 5 { // tend is awake, at some moment between two looks
					o := b.call(bg, "warm")
					p.asked("warm")
					p.reply("warm")
					o.replied("warm")
					time.Sleep(phase / 5)
				}
				begun := time.Now() // from here on p is silent
				var callers sync.WaitGroup
				for range 8 {
					callers.Go(func() {
						for failed := 0; ; failed++ {
							ctx, cancel := context.WithTimeout(bg, time.Second)
							_, err := b.Call(ctx, []byte("x"))
							cancel()
							if err == nil {
								break
							}
							if failed == 1 {
								b.Errorf("a second call failed: %v", err)
								return
							}
						}
						if took := time.Since(begun); took > 1100*time.Millisecond {
							b.Errorf("back after %v", took)
						}
					})
				}
				other := b.accept()
				for range 8 {
					other.asked("x")
					other.reply("x")
				}
				callers.Wait()
				require.NoError(b, b.Close())
			})
		})
	}
}

// The same for callers without deadlines, whose calls Config.CallTimeout ends: that
// the connection was silent is not forgotten with the oldest call.
func TestSilenceCostsOneCallTimeout(t *testing.T) {
	for _, phase := range []time.Duration{0, 30 * time.Millisecond, 250 * time.Millisecond, 470 * time.Millisecond, 990 * time.Millisecond} {
		t.Run(phase.String(), func(t *testing.T) {
			inBubble(t, pipeline.Config{MaxLifetime: -1, CallTimeout: time.Second}, func(b *bubble) {
				p := b.exchange()
				for range 5 {
					o := b.call(bg, "warm")
					p.asked("warm")
					p.reply("warm")
					o.replied("warm")
					time.Sleep(phase / 5)
				}
				begun := time.Now() // from here on p is silent
				var callers sync.WaitGroup
				for i := range 8 {
					callers.Go(func() {
						time.Sleep(time.Duration(i) * 100 * time.Millisecond)
						for failed := 0; ; failed++ {
							_, err := b.Call(bg, []byte("x"))
							if err == nil {
								break
							}
							if failed == 1 {
								b.Errorf("a second call failed: %v after %v", err, time.Since(begun))
								return
							}
						}
					})
				}
				other := b.accept()
				for range 8 {
					other.asked("x")
					other.reply("x")
				}
				callers.Wait()
				require.NoError(b, b.Close())
			})
		})
	}
}
