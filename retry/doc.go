// Package retry repeats an operation while that is safe and useful.
//
//	// Asking for the time twice does no harm.
//	policy := retry.Policy{Idempotent: true}
//	err := retry.Do(ctx, policy, func(ctx context.Context) error {
//		return askForTheTime(ctx)
//	})
//
// # What is retried
//
// When a connection breaks, one question is open: has the peer seen the
// request? It can be wrong to repeat a request that the peer has seen. So by
// default Do repeats nothing that might have had an effect. If the SafeToRetry
// method of the error returns true, no byte left the process, and Do retries.
// Otherwise it returns the error. Policy.Idempotent declares that the operation
// may be executed twice; then Do retries other errors too. Policy.Retryable
// replaces the rule, and may call SafeToRetry. An operation ends the call
// itself by returning Permanent(err).
//
// The errors of conn, pool and pipeline have the method. Most errors from other
// packages, including net, do not. With those the zero Policy makes one attempt,
// even if the connection was refused; so set Idempotent or Retryable.
//
// # When
//
// Backoff says how long to wait. The types of this package are Exponential
// (full jitter, the default), Decorrelated and Constant. You can use any
// type with the method Delay. Jitter matters: without it the clients of a
// server that failed all come back at the same moment. Some errors say when
// to retry, such as the error of a pool that has stopped dialing. The three
// types then wait for exactly that time: see RetryAfter.
//
// # How long
//
// MaxAttempts, MaxElapsed and the context bound the call; PerAttemptTimeout
// bounds each attempt. If a limit would end the wait before the next attempt,
// Do does not wait. It returns at once.
//
// # How much
//
// Retries multiply load when a server can bear it least: three layers of three
// attempts make 27 requests. A Budget, shared by all calls to one server, bounds
// the retries to a share of the calls plus a small reserve.
//
// # What comes back
//
// Do returns the last error of the operation unchanged. If the context ended
// the call, it returns an *Error, which is both the context's error and the last
// error of the operation:
//
//	errors.Is(err, context.DeadlineExceeded) // true
//	errors.Is(err, syscall.ECONNREFUSED)     // also true: the reason
package retry
