package conn

import (
	"bytes"
	"io"
	"time"
)

// maxLine is the bound of ReadUntil if the caller gives none, in bytes.
const maxLine = 1 << 20

// Read waits for the first byte and reads the bytes that are available, as
// io.Reader says. Buffered bytes come first. The error at the end of the
// stream is a bare io.EOF; every other error is an *Error. After a timeout
// no byte is lost, and reading can continue. The exception is a timeout in a
// TLS handshake: that connection is broken.
func (c *Conn) Read(p []byte) (int, error) {
	k, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	n := 0
	if len(p) > 0 {
		n, err = k.readInto(p)
		if err != nil {
			err = k.readError(err)
		}
	}
	k.endRead()
	return n, err
}

// readInto reads once, buffered bytes first. It uses no buffer if p is at least
// as large as one.
func (k *core) readInto(p []byte) (int, error) {
	k.peeked = false
	if k.empty() {
		if len(p) >= smallBuffer {
			return k.readDirect(p)
		}
		if err := k.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, k.unread())
	k.consume(n)
	return n, nil
}

// ReadFull fills p, as io.ReadFull does. The error is nil only if n is len(p). It
// is io.EOF if the stream ended before the first byte, and io.ErrUnexpectedEOF if
// it ended later. After a timeout the first n bytes are in p, and reading can
// continue after them.
func (c *Conn) ReadFull(p []byte) (n int, err error) {
	k, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	for n < len(p) && err == nil {
		var m int
		m, err = k.readInto(p[n:])
		n += m
	}
	if err != nil {
		err = k.readError(err)
	}
	k.endRead()
	if err == io.EOF && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadUntil appends to dst everything up to and including delim, and returns the
// extended slice. Use it for lines. Bytes after delim stay for the next read.
// With an error, io.EOF and timeouts included, it returns what came before the
// error. Exception: if a timeout occurs in the middle of a delimiter, the first
// part of the delimiter stays buffered. So the next call can find the whole
// delimiter.
//
// max bounds the appended bytes, delim included. Zero and negative mean 1 MiB.
// If delim does not come within max bytes, the error is an *Error with a
// *LineTooLongError in it. delim must not be empty.
func (c *Conn) ReadUntil(dst, delim []byte, max int) ([]byte, error) {
	k, err := c.beginRead()
	if err != nil {
		return dst, err
	}
	defer k.endRead()
	if len(delim) == 0 {
		return dst, k.error("read", ErrEmptyDelimiter)
	}
	if max <= 0 {
		max = maxLine
	}
	k.peeked = false
	start := len(dst)
	for {
		if k.empty() {
			if err := k.fill(); err != nil {
				err = k.readError(err)
				if k.rerr == nil {
					dst = dst[:len(dst)-k.putBack(dst[start:], delim)]
				}
				return dst, err
			}
		}
		data := k.unread()
		if left := max - (len(dst) - start); len(data) > left {
			data = data[:left]
		}
		end := delimEnd(dst[start:], data, delim)
		if end >= 0 {
			data = data[:end]
		}
		dst = append(dst, data...)
		k.consume(len(data))
		if end >= 0 {
			return dst, nil
		}
		if len(dst)-start >= max {
			err := k.error("read", &LineTooLongError{Limit: max})
			k.failed(err, false)
			return dst, err
		}
	}
}

// putBack puts the end of seen back into the buffer if delim can begin there,
// and returns its length. The buffer is empty.
func (k *core) putBack(seen, delim []byte) int {
	for n := min(len(delim)-1, len(seen), smallBuffer); n > 0; n-- {
		if bytes.HasSuffix(seen, delim[:n]) {
			copied := copy(k.room(), seen[len(seen)-n:])
			k.buf.w += copied
			return n
		}
	}
	return 0
}

// delimEnd returns the index in data after the first delim in seen+data, or -1.
// seen itself has none.
func delimEnd(seen, data, delim []byte) int {
	// A delimiter that begins in seen ends before one that is in data alone,
	// and the one that begins first ends first.
	for k := min(len(delim)-1, len(seen)); k > 0; k-- {
		if bytes.HasPrefix(data, delim[k:]) && bytes.HasSuffix(seen, delim[:k]) {
			return len(delim) - k
		}
	}
	i := bytes.Index(data, delim)
	if i < 0 {
		return -1
	}
	return i + len(delim)
}

// ReadAvailable appends to dst what the peer sends before it pauses, and returns
// the extended slice. Use it for protocols without message boundaries. The
// result depends on timing. It waits for the first bytes. If they are fewer than
// short, it returns at once. Otherwise it reads on until nothing comes for the
// time wait, and returns no error. If wait is zero or less, it does not read on.
//
// It has no limit for size or time. Set a read deadline to limit the time. With
// an error, io.EOF and timeouts included, it returns what came before the error.
func (c *Conn) ReadAvailable(dst []byte, short int, wait time.Duration) ([]byte, error) {
	k, err := c.beginRead()
	if err != nil {
		return dst, err
	}
	defer k.endRead()
	k.peeked = false
	start := len(dst)
	if k.empty() {
		if err := k.fill(); err != nil {
			return dst, k.readError(err)
		}
	}
	dst = k.takeBuffered(dst)
	if len(dst)-start < short || wait <= 0 {
		return dst, nil
	}
	defer func() { _ = k.setWait(time.Time{}) }()
	for {
		_ = k.setWait(time.Now().Add(wait)) // it fails on a closed connection, and so will the read
		err := k.fill()
		if err == nil {
			dst = k.takeBuffered(dst)
			continue
		}
		if isTimeout(err) && !k.readTimedOut() {
			if k.tr().raw != nil {
				if readable, _ := k.checkSocket(); readable {
					continue // it came while this goroutine was held up
				}
			}
			return dst, nil
		}
		return dst, k.readError(err)
	}
}

func (k *core) takeBuffered(dst []byte) []byte {
	data := k.unread()
	dst = append(dst, data...)
	k.consume(len(data))
	return dst
}
