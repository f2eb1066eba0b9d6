package conn

import (
	"fmt"
	"time"
)

// BackoffError says that no dial was made, because the dials before it
// failed. DialBackoff says when that happens.
type BackoffError struct {
	// Err is why the last dial failed.
	Err error
	// Wait is how long after this error a dial may be made. While another
	// caller's dial is in progress it is an estimate.
	Wait time.Duration
}

// Error returns one line with Err and Wait.
func (e *BackoffError) Error() string {
	return fmt.Sprintf("dialing suspended for %v: %v", e.Wait.Round(time.Millisecond), e.Err)
}

// Unwrap returns why the last dial failed.
func (e *BackoffError) Unwrap() error { return e.Err }

// RetryAfter returns Wait. Package retry asks an error for it.
func (e *BackoffError) RetryAfter() time.Duration { return e.Wait }

// Kind is that of the dial that failed.
func (e *BackoffError) Kind() string { return KindOf(e.Err) }

// SafeToRetry is true: nothing was sent.
func (e *BackoffError) SafeToRetry() bool { return true }
