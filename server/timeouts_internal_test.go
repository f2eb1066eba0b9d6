package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// The watch looks soon at a connection that has begun, or has a request, however long
// its timeouts are: it may park, and its peer may go.
func TestWatchLooksSoonAtARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		h := Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			if string(req) == "wait" {
				<-let
			}
			return req, nil
		})
		s := &Server{Handler: h}
		l := memnet.Listen("server")
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		nc, err := l.Dial(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.Greater(t, time.Duration(s.clock.tick.Load()), 5*peerLook)
		looked := func() time.Duration { return time.Duration(s.clock.now.Load()) }
		require.Zero(t, looked())
		time.Sleep(peerLook)
		synctest.Wait()
		require.Equal(t, peerLook, looked(), "after it has begun")
		time.Sleep(time.Minute)
		synctest.Wait()
		at := looked()
		for looked() == at { // until it has just looked
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		at = looked()
		_, err = nc.Write([]byte("\x00\x01x"))
		require.NoError(t, err)
		time.Sleep(peerLook)
		synctest.Wait()
		require.Positive(t, looked()-at, "after a request")

		_, err = nc.Write([]byte("\x00\x04wait"))
		require.NoError(t, err)
		synctest.Wait()
		time.Sleep(time.Second)
		at = looked()
		time.Sleep(10 * peerLook)
		synctest.Wait()
		require.GreaterOrEqual(t, looked()-at, 9*peerLook, "during a request")
		close(let)
		synctest.Wait()
		time.Sleep(time.Second)
		looks := 0
		for range 10 {
			at = looked()
			time.Sleep(peerLook)
			synctest.Wait()
			if looked() > at {
				looks++
			}
		}
		require.LessOrEqual(t, looks, 2, "at rest")
		require.NoError(t, nc.Close())
		require.NoError(t, s.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, ErrServerClosed)
	})
}

// When many connections have come the watch looks at them at once.
func TestWatchLooksAtACrowdAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })}
		l := memnet.Listen("server")
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		looked := func() (n int) {
			for _, sess := range s.sessions() {
				if sess.parking.Load() == neverParks { // it has no socket
					n++
				}
			}
			return n
		}
		began := time.Now()
		for i := range crowd {
			require.Zero(t, looked())
			_, err := l.Dial(t.Context())
			require.NoError(t, err)
			if i+1 < crowd {
				synctest.Wait()
			}
		}
		synctest.Wait()
		require.Zero(t, time.Since(began))
		if canPoll {
			require.GreaterOrEqual(t, looked(), crowd-1)
		}
		require.NoError(t, s.Close())
		require.NoError(t, s.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, ErrServerClosed)
	})
}

// The watch looks as often as the shortest timeout wants, and seldom where there is none.
func TestTickOfTheWatch(t *testing.T) {
	for name, tc := range map[string]struct {
		timeouts []time.Duration
		want     time.Duration
	}{
		"no timeout":              {[]time.Duration{0}, noTick},
		"off":                     {[]time.Duration{-1}, noTick},
		"a part of the timeout":   {[]time.Duration{ticksPerTimeout * 10 * time.Millisecond}, 10 * time.Millisecond},
		"as often as it may":      {[]time.Duration{time.Millisecond}, minTick},
		"as seldom as it may":     {[]time.Duration{time.Hour}, maxTick},
		"the shortest":            {[]time.Duration{0, time.Hour, ticksPerTimeout * 10 * time.Millisecond, time.Hour, 0}, 10 * time.Millisecond},
		"none after the shortest": {[]time.Duration{time.Hour, 0}, maxTick},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{live: 1}
				for _, d := range tc.timeouts {
					s.watchFor(d)
				}
				require.Equal(t, tc.want, time.Duration(s.clock.tick.Load()))
				s.mu.Lock()
				s.live--
				s.mu.Unlock()
				s.wakeWatch()
				synctest.Wait()
				require.False(t, s.clock.running.Load(), "the watch has ended")
			})
		})
	}
}
