package otelgtcp

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// otherError is the error.type of an error whose kind is not in errorTypes, and
// the rpc.method of a method that is not in Config.Methods.
const otherError = "_OTHER"

// errorTypes are the values of error.type. The first means no error, the last
// any other.
var errorTypes = [...]string{
	"", conn.KindRefused, conn.KindTimeout, conn.KindCanceled, word(conn.KindPeerClosed), conn.KindReset,
	conn.KindOverloaded, conn.KindDial, conn.KindProtocol, conn.KindApplication, conn.KindClosed, "resolve", "panic", otherError,
}

const panicked = len(errorTypes) - 2

// errorType returns the place of an error's kind in errorTypes.
func errorType(err error) int {
	if err == nil {
		return 0
	}
	return errorTypeOf(conn.KindOf(err))
}

func errorTypeOf(kind string) int {
	kind = word(kind)
	for i, k := range errorTypes {
		if k == kind {
			return i
		}
	}
	return len(errorTypes) - 1
}

// word writes a name of several words as one.
func word(s string) string { return strings.ReplaceAll(s, " ", "_") }

// methods are the values of rpc.method. The first means no method, the second
// one that is not in Config.Methods.
type methods struct {
	names []string
	place map[string]int
}

func newMethods(known []string) methods {
	m := methods{append([]string{"", otherError}, known...), make(map[string]int)}
	for i, name := range m.names {
		m.place[name] = i
	}
	return m
}

// placeOf returns the place of a method in methods.names: 0 if there is none, or
// if no methods are known.
func (m *methods) placeOf(name string) int {
	if name == "" || len(m.names) == 2 {
		return 0
	}
	if i, ok := m.place[name]; ok {
		return i
	}
	return 1
}

// callMethod is the method of a client's call.
func (t *Telemetry) callMethod(ctx context.Context) string {
	if t.config.Method != nil {
		return t.config.Method(ctx)
	}
	return envelope.MethodFromContext(ctx)
}

// requestMethod is the method of a request at a server. It must be asked for
// before the handler returns, for the envelope lies in a buffer.
func (t *Telemetry) requestMethod(ctx context.Context) string {
	if t.config.Method != nil {
		return t.config.Method(ctx)
	}
	if e := envelope.FromContext(ctx); e != nil {
		return string(e.Method)
	}
	return ""
}

// durations is a histogram whose attributes are made once for each method and
// each type of error, when that first occurs.
type durations struct {
	histogram metric.Float64Histogram
	methods   []string
	common    []attribute.KeyValue
	options   []atomic.Pointer[[]metric.RecordOption]
}

func newDurations(h metric.Float64Histogram, methods []string, common ...attribute.KeyValue) *durations {
	return &durations{h, methods, common, make([]atomic.Pointer[[]metric.RecordOption], len(methods)*len(errorTypes))}
}

// record adds a duration. method and failure are places in methods and
// errorTypes.
func (d *durations) record(ctx context.Context, took time.Duration, method, failure int) {
	of := &d.options[method*len(errorTypes)+failure]
	options := of.Load()
	if options == nil {
		options = d.makeOptions(method, failure)
		of.Store(options)
	}
	d.histogram.Record(ctx, took.Seconds(), *options...)
}

func (d *durations) makeOptions(method, failure int) *[]metric.RecordOption {
	attributes := slices.Clone(d.common)
	if method > 0 {
		attributes = append(attributes, keyMethod.String(d.methods[method]))
	}
	if failure > 0 {
		attributes = append(attributes, keyError.String(errorTypes[failure]))
	}
	return &[]metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}

// noMethods are the methods of what has none.
var noMethods = []string{""}

// hostPort returns an address as two attributes. One without a port, such as
// the path of a unix socket, is one.
func hostPort(addr string, host, port attribute.Key) []attribute.KeyValue {
	if addr == "" {
		return nil
	}
	h, p, err := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(p)
	if err != nil || n == 0 {
		return []attribute.KeyValue{host.String(valid(addr))}
	}
	return []attribute.KeyValue{host.String(valid(h)), port.Int(n)}
}
