package gtcp

import "time"

// once dials address, runs exchange on the connection and closes it. The
// optional timeout is that of the dial.
func once(address string, exchange func(*Conn) error, timeout ...time.Duration) error {
	c, err := NewConn(address, timeout...)
	if err != nil {
		return err
	}
	defer c.Close()
	return exchange(c)
}

// onceReply is once for an exchange that brings a reply.
func onceReply(address string, exchange func(*Conn) ([]byte, error), timeout ...time.Duration) (reply []byte, err error) {
	err = once(address, func(c *Conn) (err error) {
		reply, err = exchange(c)
		return err
	}, timeout...)
	return reply, err
}

// dialWithin is the timeout of the dial in a call with that timeout: no longer
// than any dial, and over at once where the call is.
func dialWithin(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return -1
	}
	return min(timeout, defaultDialTimeout)
}

// Send connects to address, sends data like Conn.Send and closes the connection.
func Send(address string, data []byte, retry ...Retry) error {
	return once(address, func(c *Conn) error { return c.Send(data, retry...) })
}

// SendRecv connects to address, sends data, receives a reply like Conn.Recv
// with length, and closes the connection.
func SendRecv(address string, data []byte, length int, retry ...Retry) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) { return c.SendRecv(data, length, retry...) })
}

// SendWithTimeout is Send with a timeout for the dial, and again for the write.
func SendWithTimeout(address string, data []byte, timeout time.Duration, retry ...Retry) error {
	return once(address, func(c *Conn) error { return c.SendWithTimeout(data, timeout, retry...) },
		dialWithin(timeout))
}

// SendRecvWithTimeout is SendRecv with a timeout for the dial, and again for the
// read.
func SendRecvWithTimeout(address string, data []byte, length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) {
		return c.SendRecvWithTimeout(data, length, timeout, retry...)
	}, dialWithin(timeout))
}

// SendPkg connects to address, sends data as one package and closes the connection.
func SendPkg(address string, data []byte, option ...PkgOption) error {
	return once(address, func(c *Conn) error { return c.SendPkg(data, option...) })
}

// SendRecvPkg connects to address, sends data as one package, receives a package
// and closes the connection.
func SendRecvPkg(address string, data []byte, option ...PkgOption) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) { return c.SendRecvPkg(data, option...) })
}

// SendPkgWithTimeout is SendPkg with a timeout for the dial, and again for the
// write.
func SendPkgWithTimeout(address string, data []byte, timeout time.Duration, option ...PkgOption) error {
	return once(address, func(c *Conn) error { return c.SendPkgWithTimeout(data, timeout, option...) },
		dialWithin(timeout))
}

// SendRecvPkgWithTimeout is SendRecvPkg with a timeout for the dial, and again
// for the read.
func SendRecvPkgWithTimeout(address string, data []byte, timeout time.Duration, option ...PkgOption) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) {
		return c.SendRecvPkgWithTimeout(data, timeout, option...)
	}, dialWithin(timeout))
}
