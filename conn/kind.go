package conn

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
)

// The kinds of errors: a small set of names, for the labels of metrics and for
// code that chooses by the kind of a failure. Errors of all packages of this
// module have one; see KindOf.
const (
	KindRefused     = "refused"     // the peer's system refused the connection: no program listens on the port
	KindTimeout     = "timeout"     // a deadline passed, or the system gave up waiting
	KindCanceled    = "canceled"    // the caller gave up
	KindPeerClosed  = "peer closed" // the peer ended its stream
	KindReset       = "reset"       // the connection was broken off: reset, or the network is gone
	KindOverloaded  = "overloaded"  // refused here because of a limit; nothing was sent
	KindDial        = "dial"        // connecting failed for another reason: no such name, TLS
	KindProtocol    = "protocol"    // the peer sent what the protocol does not allow
	KindApplication = "application" // the peer replied with an error of its own
	KindClosed      = "closed"      // closed on this side
	KindOther       = "other"       // none of these
)

// KindOf returns the kind of any error: one of the Kind constants, or "" for
// nil. It calls the method Kind() string of the first error in err's tree
// that has it. If no error has it, KindOf classifies the errors of the
// standard library.
func KindOf(err error) string {
	if err == nil {
		return ""
	}
	var k interface{ Kind() string }
	if errors.As(err, &k) {
		return k.Kind()
	}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return KindTimeout
	case isRefused(err):
		return KindRefused
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		return KindDial
	case isReset(err):
		return KindReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return KindPeerClosed
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return KindClosed
	}
	return KindOther
}

func isRefused(err error) bool { return isOneOf(err, refusedErrnos) }

func isReset(err error) bool { return isOneOf(err, resetErrnos) }

func isOneOf(err error, errnos []syscall.Errno) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	for _, e := range errnos {
		if errno == e {
			return true
		}
	}
	return false
}

// Kind returns the kind of the failure: one of the Kind constants.
func (e *Error) Kind() string {
	kind := KindOf(e.Err)
	if e.Op != "dial" {
		return kind
	}
	switch kind {
	case KindRefused, KindTimeout, KindCanceled, KindOverloaded:
		return kind
	}
	return KindDial
}

// Kind is that of the context's error.
func (e *interruptError) Kind() string { return KindOf(e.ctx) }

// Kind is "protocol".
func (e *LineTooLongError) Kind() string { return KindProtocol }

// unreadError is the type of ErrUnread.
type unreadError struct{}

func (unreadError) Error() string { return "unread bytes on the connection" }
func (unreadError) Kind() string  { return KindProtocol }
