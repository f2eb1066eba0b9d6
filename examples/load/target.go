package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// target is a server and how it is called.
type target struct {
	name, addr string
	shared     bool
	conns      int
}

// options splits "a,b,key=value" and gives each part to set.
func options(text string, set func(key, value string) error) error {
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		if err := set(key, value); err != nil {
			return fmt.Errorf("%q: %w", part, err)
		}
	}
	return nil
}

// parseTarget reads "host:port[,shared][,exclusive][,conns=N][,name=TEXT]".
func parseTarget(text string, defaults target) (t target, err error) {
	t = defaults
	addr, rest, more := strings.Cut(text, ",")
	if t.addr = addr; addr == "" {
		return t, errors.New("no address")
	}
	if more {
		err = options(rest, func(key, value string) (err error) {
			switch key {
			case "shared":
				t.shared = true
			case "exclusive":
				t.shared = false
			case "conns":
				t.conns, err = positive(value)
			case "name":
				t.name = value
			default:
				return errors.New("not an option of a target (shared, exclusive, conns=N, name=TEXT)")
			}
			return err
		})
	}
	if t.name == "" {
		t.name = text
	}
	return t, err
}

func positive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, errors.New("want a number, 1 or more")
	}
	return n, nil
}

// parseFormat reads "header=4,little-endian,offset=2,adjust=-6,strip=-1,max=65536".
func parseFormat(text string) (f framing.Format, err error) {
	if text == "" {
		return f, nil
	}
	err = options(text, func(key, value string) (err error) {
		switch key {
		case "header":
			if value == "varint" {
				f.HeaderSize = framing.Varint
				return nil
			}
			f.HeaderSize, err = strconv.Atoi(value)
		case "little-endian":
			f.LittleEndian = true
		case "offset":
			f.LengthOffset, err = strconv.Atoi(value)
		case "adjust":
			f.LengthAdjust, err = strconv.Atoi(value)
		case "strip":
			f.Strip, err = strconv.Atoi(value)
		case "max":
			f.MaxSize, err = strconv.Atoi(value)
		default:
			return errors.New("not an option of a format (header, little-endian, offset, adjust, strip, max)")
		}
		return err
	})
	if err == nil {
		err = errors.Join(f.Validate(), f.Writable())
	}
	return f, err
}

// dialing is what all targets have in common.
type dialing struct {
	format  framing.Format
	tls     *tls.Config
	timeout time.Duration
	request []byte
	// envelope puts an envelope before each request, with method if that is not empty.
	envelope bool
	method   string
	// reply is what a reply must equal; nil means that it may be anything.
	reply []byte
}

// open makes a client of the target and its callers.
func (d dialing) open(t target, callers int) (*gtcp.Client, []caller, error) {
	cfg := gtcp.ClientConfig{
		Shared: t.shared,
		Target: conn.Target{Dialer: &conn.Dialer{TLS: d.tls, Timeout: d.timeout}},
		Format: d.format,
		// A limit of the client costs less than a context for each call.
		CallTimeout: d.timeout,
		// An attempt that fails is what a load test looks for.
		Retry: retry.Policy{MaxAttempts: 1},
	}
	if cfg.Envelope = d.envelope; d.envelope {
		cfg.Match = envelope.Matcher{} // the server may reply in any order
	}
	cfg.Pool.MaxConns, cfg.Pipeline.MaxConns = t.conns, t.conns
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	client := gtcp.NewClient(t.addr, cfg)
	ctx := context.Background()
	if d.method != "" {
		ctx = envelope.ContextWithMethod(ctx, d.method)
	}
	all := make([]caller, callers)
	for i := range all {
		var reply []byte
		all[i] = func() (err error) {
			reply, err = client.AppendCall(ctx, reply[:0], d.request)
			if err == nil && d.reply != nil && !bytes.Equal(reply, d.reply) {
				err = errWrongReply
			}
			return err
		}
	}
	return client, all, nil
}

// echoed is what an echo server replies to the request. Where a frame is read as a
// whole, its length has been set.
func (d dialing) echoed() ([]byte, error) {
	frame, err := d.format.Append(nil, d.request)
	if err != nil {
		return nil, fmt.Errorf("the request is no frame of -format: %w", err)
	}
	if d.format.Strip < 0 {
		return frame, nil
	}
	return d.request, nil
}

// wrongReply is the error of a call whose reply is not the request.
type wrongReply struct{}

func (wrongReply) Error() string { return "the reply differs from the request" }

// Kind puts it under its own name among the failures.
func (wrongReply) Kind() string { return "wrong reply" }

var errWrongReply error = wrongReply{}
