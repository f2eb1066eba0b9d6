package pipeline_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func echo(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 65536)
				w := bufio.NewWriterSize(c, 65536)
				b := make([]byte, 66)
				for {
					if _, err := io.ReadFull(r, b); err != nil {
						return
					}
					w.Write(b)
					if r.Buffered() < 66 {
						w.Flush()
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestSmoke(t *testing.T) {
	p, err := pipeline.New(pipeline.Config{Address: echo(t)})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			req := make([]byte, 64)
			req[0] = byte(i)
			for j := range 1000 {
				req[1] = byte(j)
				ctx, cancel := context.WithCancel(context.Background())
				got, err := p.Call(ctx, req)
				cancel()
				require.NoError(t, err)
				require.Equal(t, req, got)
			}
		})
	}
	wg.Wait()
	require.NoError(t, p.Close(context.Background()))
}
