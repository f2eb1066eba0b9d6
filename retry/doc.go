// Package retry runs an operation again while that is safe and worth it.
//
//	// Asking for the time twice does no harm.
//	policy := retry.Policy{Idempotent: true}
//	err := retry.Do(ctx, policy, func(ctx context.Context) error {
//		return askForTheTime(ctx)
//	})
//
// # What is retried
//
// A connection that breaks leaves one question: has the peer seen the request?
// Repeating one that it has is a fault of its own, so by default Do repeats
// nothing that might have had an effect. It asks the error: one whose
// SafeToRetry method returns true, because no byte left the process, is
// retried; any other is returned. Policy.Idempotent declares that the operation
// may be executed twice, and then other errors are retried too. Policy.Retryable
// replaces the rule; SafeToRetry is there for it to build on. An operation
// ends the call itself by returning Permanent(err).
//
// The errors of conn, pool and pipeline have the method. Those of other packages,
// net among them, mostly have not: over them the zero Policy makes one attempt,
// even where the connection was refused, so set Idempotent or Retryable.
//
// # When
//
// Backoff says how long to wait: Exponential (full jitter, the default),
// Decorrelated, or Constant; any type with the one method will do. Jitter
// matters: without it the clients of a server that failed come back together.
//
// # How long
//
// MaxAttempts, MaxElapsed and the context bound the call, and PerAttemptTimeout
// each attempt. No wait is begun that a bound would cut short: where the
// context's deadline comes before the next attempt, Do returns at once.
//
// # How much
//
// Retries multiply load just when a server can bear it least: three layers of
// three attempts are 27 requests. A Budget, shared by all calls to one server,
// bounds them to a share of the calls plus a small reserve.
//
// # What comes back
//
// The last error of the operation, as it is. When the context ended the call,
// an *Error that is both the context's error and the last of the operation:
//
//	errors.Is(err, context.DeadlineExceeded) // true
//	errors.Is(err, syscall.ECONNREFUSED)     // true as well: that is why
package retry
