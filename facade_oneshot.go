package gtcp

import "time"

// once dials address, runs exchange on the connection and closes it.
func once(address string, exchange func(*Conn) error) error {
	c, err := NewConn(address)
	if err != nil {
		return err
	}
	defer c.Close()
	return exchange(c)
}

// onceReply is once for an exchange that brings an answer.
func onceReply(address string, exchange func(*Conn) ([]byte, error)) (reply []byte, err error) {
	err = once(address, func(c *Conn) (err error) {
		reply, err = exchange(c)
		return err
	})
	return reply, err
}

// Send dials address, sends data as Conn.Send does and closes the connection.
func Send(address string, data []byte, retry ...Retry) error {
	return once(address, func(c *Conn) error { return c.Send(data, retry...) })
}

// SendRecv dials address, sends data, receives an answer as Conn.Recv does
// with length, and closes the connection.
func SendRecv(address string, data []byte, length int, retry ...Retry) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) { return c.SendRecv(data, length, retry...) })
}

// SendWithTimeout is Send with a bound on the write; the dial has its own.
func SendWithTimeout(address string, data []byte, timeout time.Duration, retry ...Retry) error {
	return once(address, func(c *Conn) error { return c.SendWithTimeout(data, timeout, retry...) })
}

// SendRecvWithTimeout is SendRecv with a bound on the read; the dial has its
// own.
func SendRecvWithTimeout(address string, data []byte, length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) {
		return c.SendRecvWithTimeout(data, length, timeout, retry...)
	})
}

// SendPkg dials address, sends data as one package and closes the connection.
func SendPkg(address string, data []byte, option ...PkgOption) error {
	return once(address, func(c *Conn) error { return c.SendPkg(data, option...) })
}

// SendRecvPkg dials address, sends data as one package, receives one package
// and closes the connection.
func SendRecvPkg(address string, data []byte, option ...PkgOption) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) { return c.SendRecvPkg(data, option...) })
}

// SendPkgWithTimeout is SendPkg with a bound on the write; the dial has its
// own.
func SendPkgWithTimeout(address string, data []byte, timeout time.Duration, option ...PkgOption) error {
	return once(address, func(c *Conn) error { return c.SendPkgWithTimeout(data, timeout, option...) })
}

// SendRecvPkgWithTimeout is SendRecvPkg with a bound on the read; the dial has
// its own.
func SendRecvPkgWithTimeout(address string, data []byte, timeout time.Duration, option ...PkgOption) ([]byte, error) {
	return onceReply(address, func(c *Conn) ([]byte, error) {
		return c.SendRecvPkgWithTimeout(data, timeout, option...)
	})
}
