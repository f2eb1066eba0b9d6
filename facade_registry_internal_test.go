package gtcp

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefect21FailedAddressIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{}
		for range 3 {
			_, _, err := r.get("no port", nil)
			require.Error(t, err)
		}
		require.Equal(t, 1, addresses(r))
		p := r.of("no port")
		time.Sleep(2*forgetAfter + time.Second)
		synctest.Wait()
		require.Zero(t, addresses(r))
		require.Nil(t, r.timer, "no timer runs for nothing")
		_, err := p.pool.Get(t.Context())
		require.ErrorIs(t, err, net.ErrClosed, "its pool is closed")
		require.Empty(t, r.totals.open)
		sum, _ := r.totals.stat()
		require.EqualValues(t, 3, sum.DialErrors, "its counts stay")
		require.Zero(t, sum.MaxConns, "and what describes the present does not")
	})
}

func addresses(r *registry) int {
	n := 0
	for range r.byAddr.Range {
		n++
	}
	return n
}

func TestDefect21AddressInUseIsKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := &registry{}
	addr := l.Addr().String()
	c, _, err := r.get(addr, nil)
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	defer far.Close()
	look := func() {
		r.mu.Lock()
		r.timer.Stop()
		r.mu.Unlock()
		r.look()
	}
	for range 3 {
		look()
		require.Equal(t, 1, addresses(r), "a connection is checked out")
	}
	require.NoError(t, c.Close())
	for range 3 {
		look()
		require.Equal(t, 1, addresses(r), "a connection is idle")
	}
	// Other options end the pool, and its connection with it.
	r.configure(PoolOptions{MaxConns: 1}, nil)
	_, err = far.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	require.Len(t, r.retired, 1)
	old := r.retired[0]
	// The peer may read the end before the connection is counted as evicted.
	require.Eventually(t, func() bool { return old.pool.Stat().Evictions.Total() == 1 }, time.Minute, time.Millisecond)
	sum, _ := r.totals.stat()
	look()
	after, _ := r.totals.stat()
	require.EqualValues(t, 1, after.Gets)
	require.Equal(t, sum.Evictions.Total(), after.Evictions.Total())
	require.Zero(t, after.Open)
	require.Empty(t, r.retired)
	_, err = old.pool.Get(t.Context())
	require.ErrorIs(t, err, net.ErrClosed)
	require.Nil(t, r.timer)
}

// Retired while a connection is checked out, a pool ends when that comes back.
func TestRetiredPoolWaitsForItsCheckouts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := &registry{}
	c, _, err := r.get(l.Addr().String(), nil)
	require.NoError(t, err)
	r.configure(PoolOptions{}, []string{l.Addr().String()})
	r.timer.Stop()
	r.look()
	require.Len(t, r.retired, 1)
	require.NoError(t, c.Check())
	require.NoError(t, c.Close())
	require.Eventually(t, r.retired[0].quiet, 10*time.Second, time.Millisecond)
	r.timer.Stop()
	r.look()
	require.Empty(t, r.retired)
	require.Nil(t, r.timer)
}

func TestDefect03ExpiredConnectionIsClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := &registry{defaults: PoolOptions{MaxLifetime: 10 * time.Millisecond}}
	c, _, err := r.get(l.Addr().String(), nil)
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	defer far.Close()
	require.NoError(t, c.Close())
	// Nobody uses the pool any more, and no garbage collection is forced.
	require.NoError(t, far.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = far.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	r.timer.Stop()
}

func TestLifetimeIs600SecondsByDefault(t *testing.T) {
	c := PoolOptions{}.config()
	require.Zero(t, c.MaxLifetime, "zero is the pool's own default")
}

// A dial bounds itself by the longest timeout anybody has asked for.
func TestPatience(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		time.Second: defaultDialTimeout,
		time.Minute: time.Minute,
		0:           maxDialTimeout,
		time.Hour:   maxDialTimeout,
	} {
		p, err := newAddressPool("tcp", "no port", PoolOptions{})
		require.NoError(t, err)
		_, _, err = p.get([]time.Duration{asked})
		require.Error(t, err)
		require.EqualValues(t, want, p.patience.Load())
		_, _, err = p.get(nil)
		require.Error(t, err)
		require.NoError(t, p.pool.Shutdown(t.Context()))
	}
}

// A caller whose pool is forgotten while he has it in hand gets another.
func TestForgottenUnderACaller(t *testing.T) {
	r := &registry{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				r.look()
			}
		}
	}()
	opened := map[*addressPool]bool{}
	for end := time.Now().Add(time.Minute); len(opened) < 3; {
		_, _, err := r.get("no port", nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, net.ErrClosed)
		if p := r.of("no port"); p != nil {
			opened[p] = true
		}
		require.True(t, time.Now().Before(end), "it is never forgotten")
	}
	close(stop)
	<-stopped
	r.mu.Lock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	for _, p := range r.byAddr.Range {
		require.NoError(t, p.(*addressPool).pool.Shutdown(t.Context()))
	}
}
