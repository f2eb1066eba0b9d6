package main

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/server"
)

// newServer returns a server of holding registers, each of which holds its own
// number. It replies as soon as it can, so replies pass each other.
func newServer() *server.Server {
	return &server.Server{Handler: &server.FrameHandler{
		Format: wire, Concurrency: 64, Unordered: true, Append: serve,
	}}
}

// serve is the reply to one request. It begins as the request does: with the
// transaction number, by which the client knows it.
func serve(ctx context.Context, dst, req []byte) ([]byte, error) {
	if len(req) <= headerSize {
		return nil, errors.New("a request without a function code")
	}
	refuse := func(code Exception) ([]byte, error) {
		return append(append(dst, req[:headerSize]...), req[headerSize]|failedBit, byte(code)), nil
	}
	if len(req) != headerSize+5 || req[headerSize] != readHolding {
		return refuse(1)
	}
	first, count := binary.BigEndian.Uint16(req[headerSize+1:]), binary.BigEndian.Uint16(req[headerSize+3:])
	switch {
	case count == 0 || count > 125:
		return refuse(3)
	case int(first)+int(count) > 1<<16:
		return refuse(2)
	}
	if first >= 1000 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	dst = append(append(dst, req[:headerSize]...), readHolding, byte(2*count))
	for i := range count {
		dst = binary.BigEndian.AppendUint16(dst, first+i)
	}
	return dst, nil
}
