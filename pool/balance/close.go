package balance

import "context"

// Shutdown refuses new picks, waits for the calls in flight, and closes the
// values. If ctx ends first, it closes the values at once and returns the error
// of ctx. A second Shutdown or Close waits for the first.
func (b *Balancer[T]) Shutdown(ctx context.Context) error {
	b.closing.Do(b.stop)
	return b.drains.wait(ctx)
}

// Close refuses new picks and closes the values at once. It returns when all are
// closed.
func (b *Balancer[T]) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.Shutdown(ctx)
	return nil
}

// stop ends the goroutines and takes all members out of use.
func (b *Balancer[T]) stop() {
	b.cancel()
	b.running.Wait()
	old := b.view.Swap(&view[T]{err: &Error{ErrClosed}, closed: true})
	if old == nil {
		close(b.known)
	}
	for _, m := range b.loop.order {
		b.retire(m)
	}
}
