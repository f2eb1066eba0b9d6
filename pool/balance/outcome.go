package balance

import (
	"context"
	"errors"
	"time"
)

// Result is what a call says about its endpoint.
type Result uint8

// The results of a call.
const (
	// Success: the endpoint works, even if its reply is an error of the
	// application.
	Success Result = iota
	// Failure: the endpoint could not be reached, broke the connection, or did
	// not reply in time.
	Failure
	// Ignored: the call says nothing about the endpoint. The caller's
	// context ended, or the call was refused in this process.
	Ignored
	// Goodbye: the endpoint has announced that it is about to stop. It gets no
	// more calls for Health.EjectFor, then one call tries it.
	Goodbye
	// Overloaded: the endpoint has replied that it did not handle the call,
	// because it has too much to do. It gets fewer calls for about a second, from
	// the policies PeakEWMA and LeastInFlight. It is not ejected for that.
	Overloaded
)

// Outcome is how a call went. The zero value is a success.
type Outcome struct {
	// Result says what the call says about its endpoint.
	Result Result
	// RetryAfter is how long the endpoint asks not to be called. Zero means
	// that it does not ask. More than 1 minute counts as 1 minute.
	RetryAfter time.Duration
}

// Classify returns the outcome of a call that returned err, from what the error
// says about itself. Nil is a success. An error whose method Kind() string
// returns "application" is a success too, because the endpoint has replied. The
// kind "overloaded" is Overloaded if the endpoint has said so, which the error
// reports by a method Overloaded() bool; otherwise this process has refused the
// call, and it is ignored. A canceled call, and the kinds "canceled" and "closed",
// are ignored. Any other error is a failure. Where the error has a method
// RetryAfter() time.Duration, that time is the outcome's.
func Classify(err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	o := Outcome{Result: Failure}
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) {
		o.RetryAfter = max(later.RetryAfter(), 0)
	}
	var kind interface{ Kind() string }
	switch {
	case errors.As(err, &kind):
		switch kind.Kind() {
		case "application":
			o.Result = Success
		case "overloaded":
			o.Result = Ignored
			if said := (interface{ Overloaded() bool })(nil); errors.As(err, &said) && said.Overloaded() {
				o.Result = Overloaded
			}
		case "canceled", "closed":
			o.Result = Ignored
		}
	case errors.Is(err, context.Canceled):
		o.Result = Ignored
	}
	return o
}
