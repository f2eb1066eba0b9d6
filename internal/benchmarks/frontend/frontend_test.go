package frontend

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/puddle/v2"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// columns are the loads: idle connections in the pool and callers at a time.
var columns = []struct{ conns, callers int }{{64, 1}, {64, 32}, {4, 64}}

// dial makes a connection that nobody will use.
func dial(context.Context) (net.Conn, error) {
	a, b := net.Pipe()
	return both{a, b}, nil
}

// both closes the far end with the near one.
type both struct {
	net.Conn
	peer net.Conn
}

func (b both) Close() error {
	_ = b.peer.Close()
	return b.Conn.Close()
}

// rows are the pools: each returns a function that acquires and releases once.
var rows = []struct {
	name string
	open func(b *testing.B, conns int) func(context.Context) error
}{
	{"puddle-raw", openPuddle},
	{"puddlepool", openFrontend(puddlepool.Open[*pool.Member])},
	{"slotpool", openFrontend(slotpool.Open[*pool.Member])},
}

func openPuddle(b *testing.B, conns int) func(context.Context) error {
	p, err := puddle.NewPool(&puddle.Config[net.Conn]{
		Constructor: dial,
		Destructor:  func(c net.Conn) { _ = c.Close() },
		MaxSize:     int32(conns),
	})
	require.NoError(b, err)
	b.Cleanup(p.Close)
	for range conns {
		require.NoError(b, p.CreateResource(b.Context()))
	}
	return func(ctx context.Context) error {
		r, err := p.Acquire(ctx)
		if err == nil {
			r.Release()
		}
		return err
	}
}

func openFrontend(open backend.Open[*pool.Member]) func(*testing.B, int) func(context.Context) error {
	return func(b *testing.B, conns int) func(context.Context) error {
		p, err := pool.New(pool.Config{Dial: dial, Backend: open, Max: conns, ProbeAfter: -1})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, p.Close(context.Background())) })
		lent := make([]*pool.Conn, conns)
		for i := range lent {
			lent[i], err = p.Get(b.Context())
			require.NoError(b, err)
		}
		for _, c := range lent {
			require.NoError(b, c.Close())
		}
		return func(ctx context.Context) error {
			c, err := p.Get(ctx)
			if err == nil {
				err = c.Close()
			}
			return err
		}
	}
}

func BenchmarkGetClose(b *testing.B) {
	for _, col := range columns {
		for _, row := range rows {
			b.Run(strconv.Itoa(col.conns)+"conns-"+strconv.Itoa(col.callers)+"callers/"+row.name, func(b *testing.B) {
				measure(b, col.callers, row.open(b, col.conns))
			})
		}
	}
}

// measure runs once with the given number of goroutines in all.
func measure(b *testing.B, callers int, once func(context.Context) error) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	if callers == 1 {
		for b.Loop() {
			if err := once(ctx); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	var left atomic.Int64
	done := make(chan error, callers)
	left.Store(int64(b.N))
	b.ResetTimer()
	for range callers {
		go func() {
			for left.Add(-64) > -64 {
				for range 64 {
					if err := once(ctx); err != nil {
						done <- err
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
