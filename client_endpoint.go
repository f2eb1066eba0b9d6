package gtcp

import (
	"context"
	"errors"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// endpoint is one server of a client: its pool, or its pipeline.
type endpoint struct {
	client   *Client
	addr     string
	pool     *pool.Pool         // of an exclusive client
	pipeline *pipeline.Pipeline // of a shared one
	invoke   Invoker            // attempt with ClientConfig.InterceptAttempt around it, or nil
}

// open makes the pool or the pipeline, which dials when it is first used.
func (e *endpoint) open(c *Client, config *ClientConfig, target conn.Target) (err error) {
	e.client, e.addr = c, target.Address
	if around := config.InterceptAttempt; around != nil {
		e.invoke = around(c.limited(func(ctx context.Context, dst, request []byte) ([]byte, error) {
			return e.attempt(ctx, nil, dst, request)
		}))
	}
	if config.Shared {
		e.pipeline, err = pipeline.New(target, config.Format, config.pipelineConfig())
	} else {
		e.pool, err = pool.New(target, config.poolConfig())
	}
	return err
}

// call makes one attempt at a call, interceptors included.
func (e *endpoint) call(ctx context.Context, limit *sharedDeadline, dst, request []byte) ([]byte, error) {
	if e.invoke != nil {
		return e.invoke(ctx, dst, request)
	}
	return e.attempt(ctx, limit, dst, request)
}

// bare is attempt with the frames as they are.
func (e *endpoint) bare(ctx context.Context, limit *sharedDeadline, dst, request []byte) ([]byte, error) {
	if e.pipeline == nil {
		return e.exclusive(ctx, limit, dst, request)
	}
	reply, err := e.pipeline.AppendCall(ctx, dst, request)
	if err == nil {
		return reply, nil
	}
	return dst, e.failedShared(err)
}

// failedShared makes the error of an attempt from the pipeline's.
func (e *endpoint) failedShared(err error) *CallError {
	if layer := (*pipeline.Error)(nil); !errors.As(err, &layer) {
		return requestError(e.addr, err)
	}
	return e.failed(e.addr, false, err)
}

// shutdown waits for the calls in progress, then closes the connections.
func (e *endpoint) shutdown(ctx context.Context) error {
	if e.pipeline != nil {
		return e.pipeline.Shutdown(ctx)
	}
	return e.pool.Shutdown(ctx)
}

// close closes the connections at once.
func (e *endpoint) close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// stat adds a snapshot of the connections.
func (e *endpoint) stat(ofPool *pool.Stat, ofPipeline *pipeline.Stat) {
	if e.pool != nil {
		*ofPool = e.pool.Stat()
	}
	if e.pipeline != nil {
		*ofPipeline = e.pipeline.Stat()
	}
}
