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
// request? To repeat a request that the peer has seen is a fault of its own, so
// by default Do repeats nothing that might have had an effect. It asks the
// error: if its SafeToRetry method returns true, because no byte left the
// process, Do retries; otherwise it returns the error. Policy.Idempotent
// declares that the operation may be executed twice; then Do retries other
// errors too. Policy.Retryable replaces the rule, and may call SafeToRetry. An
// operation ends the call itself by returning Permanent(err).
//
// The errors of conn, pool and pipeline have the method. Most errors from other
// packages, including net, do not. With those the zero Policy makes one attempt,
// even if the connection was refused; so set Idempotent or Retryable.
//
// # When
//
// Backoff says how long to wait: Exponential (full jitter, the default),
// Decorrelated, Constant, or any type with the one method. Jitter matters:
// without it the clients of a server that failed all come back at the same
// moment. If an error says when to retry, as that of a pool that has stopped
// dialing does, the three types wait exactly so long: see RetryAfter.
//
// # How long
//
// MaxAttempts, MaxElapsed and the context bound the call; PerAttemptTimeout
// bounds each attempt. Do begins no wait that a bound would cut short: if the
// context's deadline comes before the next attempt, Do returns at once.
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
