package pipeline_test

import (
	"context"
	"sync"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	p, err := pipeline.New(pipeline.Config{Address: serve(t, echo(framing.Format{}))})
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
