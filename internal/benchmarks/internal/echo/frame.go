package echo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// Payload is the size of a frame's payload in bytes.
const Payload = 64

// Frame is a frame on the wire: two bytes of length and the payload.
func Frame() []byte {
	return append(binary.BigEndian.AppendUint16(nil, Payload), bytes.Repeat([]byte("x"), Payload)...)
}

// RoundTrip sends a request and reads the answer into resp, which is as long.
func RoundTrip(c net.Conn, req, resp []byte) error {
	if _, err := c.Write(req); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, resp); err != nil {
		return err
	}
	return Same(req, resp)
}

// Same is an error if the answers are not the requests.
func Same(req, resp []byte) error {
	if !bytes.Equal(req, resp) {
		return errors.New("what came back is not what was sent")
	}
	return nil
}

// DialAndEcho returns a connection on which one frame has been echoed.
func DialAndEcho(addr string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return echoed(c)
}

// echoed has a new connection echo one frame.
func echoed(c net.Conn) (net.Conn, error) {
	err := c.SetDeadline(time.Now().Add(10 * time.Second))
	if err == nil {
		err = RoundTrip(c, Frame(), make([]byte, 2+Payload))
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
