package conn

import (
	"errors"
	"io"
	"net"
	"time"
)

const (
	// checkWait is how long Check listens where the socket cannot be asked.
	checkWait = time.Millisecond
	// maxLooks is how often it listens, each time twice as long, if this
	// goroutine was held up for all of that time, so that no read was made.
	maxLooks = 6
)

// Check tests whether the peer has closed the connection or has sent bytes. It
// consumes no byte. It returns nil if neither is so. Otherwise it returns an
// *Error that wraps ErrPeerClosed, ErrUnread or the error of the socket. It
// does not change the results of Err and Reusable. Use it on a connection that
// has been idle; while a read is in progress it fails with ErrBusy.
//
// On a TCP or unix socket, on Unix or Windows, it makes one system call and
// allocates nothing. Over TLS it checks the socket, and the bytes that
// crypto/tls has already read. If the socket has bytes, they may be a session
// ticket, a close alert or data. So Check reads them, for up to 1 ms. An
// incomplete TLS record is ignored. If there is no socket, Check always reads
// for 1 ms. Data that it reads stays buffered. If Check reads, slices from
// Peek are no longer valid.
func (c *Conn) Check() error {
	k := c.core
	if err := c.lockAwake("check", k); err != nil {
		return err
	}
	err := c.check(k)
	k.endRead()
	if err != nil {
		return k.error("check", err)
	}
	return nil
}

// check does the work of Check. The caller holds rmu.
func (c *Conn) check(k *core) error {
	if !c.live(k) {
		return net.ErrClosed
	}
	switch err := k.err.Load(); {
	case err == endOfStream:
		return ErrPeerClosed
	case err != nil:
		return err
	case !k.empty():
		return ErrUnread
	case k.tr().raw == nil:
		return k.checkByWaiting()
	case k.opaque:
		return k.checkBelow()
	}
	readable, err := k.checkSocket()
	if err == nil && readable {
		err = ErrUnread
	}
	return err
}

// checkBelow asks the socket below a transport that transforms bytes. Bytes
// there may mean anything, so they are read. A read that times out has told
// something only if it was made: the socket is asked again to know.
func (k *core) checkBelow() error {
	for try := range maxLooks {
		readable, err := k.checkSocket()
		switch {
		case err != nil:
			return err
		case k.handshakeCut(): // a read would shake hands, and to cut that short would end it
			if readable {
				return ErrUnread
			}
			return nil
		case !readable: // but the transport may have read ahead
			_, err := k.look(aLongTimeAgo)
			return err
		}
		if _, err := k.look(time.Now().Add(checkWait << try)); err != nil {
			return err
		}
	}
	return ErrUnread
}

// checkByWaiting listens for a while. If that took much longer than it should,
// this goroutine was held up, and may have begun to read too late to find
// anything.
func (k *core) checkByWaiting() error {
	for try := range maxLooks {
		wait := checkWait << try
		begun := time.Now()
		made, err := k.look(begun.Add(wait))
		if err != nil || made && time.Since(begun) < 2*wait {
			return err
		}
	}
	return ErrBusy
}

// look reads until the deadline, whatever the caller's own deadlines are. No
// error means that nothing came; made is false if the read was begun too late.
// The buffer is empty.
func (k *core) look(deadline time.Time) (made bool, err error) {
	err = k.setLook(deadline)
	switch {
	case errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe):
		return false, err
	case err != nil:
		return true, nil // there are no deadlines, and without one a look would be a wait
	}
	made = time.Now().Before(deadline)
	err = k.fill()
	_ = k.setWait(time.Time{})
	switch {
	case err == nil:
		return true, ErrUnread
	case err == io.EOF:
		return true, ErrPeerClosed
	case isTimeout(err):
		return made, nil
	}
	return true, err
}
