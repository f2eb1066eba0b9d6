package pipeline

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

func TestAgeIsByTheLaterClock(t *testing.T) {
	at := time.Now().Round(0)
	for _, c := range []struct {
		name       string
		mono, wall time.Duration
		age        time.Duration
		jumped     bool
	}{
		{"both clocks", time.Minute, time.Minute, time.Minute, false},
		{"suspended", time.Second, 8 * time.Hour, 8 * time.Hour, true},
		{"set back", time.Minute, -8 * time.Hour, time.Minute, false},
		{"slewed", time.Minute, time.Minute + 100*time.Millisecond, time.Minute + 100*time.Millisecond, false},
	} {
		a := stamp{time.Hour, at}
		b := stamp{time.Hour + c.mono, at.Add(c.wall)}
		require.Equal(t, c.age, b.age(a), c.name)
		require.Equal(t, c.jumped, b.jumped(a), c.name)
	}
}

// A connection from before the machine was suspended is not used after it.
func TestSuspendedMachine(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		ends Ends
	}{
		{"MaxLifetime", Config{}, Ends{Expired: 1}},
		{"MaxIdleTime", Config{MaxLifetime: -1, MaxIdleTime: time.Hour}, Ends{IdleTooLong: 1}},
		{"MaxLifetime, not yet", Config{MaxLifetime: 100 * time.Hour}, Ends{}},
		{"MaxIdleTime, not yet", Config{MaxLifetime: -1, MaxIdleTime: 100 * time.Hour}, Ends{}},
		{"neither", Config{MaxLifetime: -1}, Ends{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.StallTimeout = time.Minute // a busy machine is not a silent peer
			p, err := New(conn.Target{Dial: func(context.Context) (net.Conn, error) {
				here, there := memnet.Pipe()
				go func() {
					b := make([]byte, 100)
					for {
						n, err := there.Read(b)
						if err != nil {
							_ = there.Close()
							return
						}
						_, _ = there.Write(b[:n])
					}
				}()
				return here, nil
			}}, framing.Format{}, c.cfg)
			require.NoError(t, err)
			defer p.Close()
			var slept atomic.Int64
			p.clock = func() stamp {
				s := now()
				s.wall = s.wall.Add(time.Duration(slept.Load()))
				return s
			}
			for _, pause := range []time.Duration{0, 8 * time.Hour, 0, -16 * time.Hour, 0} {
				slept.Add(int64(pause))
				_, err = p.Call(context.Background(), []byte("request"))
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool { return p.Stat().Ends == c.ends }, 10*time.Second, time.Millisecond)
			require.Equal(t, 1+c.ends.Total(), p.Stat().Dials)
		})
	}
}
