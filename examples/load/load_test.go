package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/server"
)

// serve serves on loopback until the test ends.
func serve(t *testing.T, h *server.FrameHandler) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveOn(t, l, h)
	return l.Addr().String()
}

func serveOn(t *testing.T, l net.Listener, h *server.FrameHandler) {
	srv := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
}

func reply(_ context.Context, dst, request []byte) ([]byte, error) {
	return append(dst, request...), nil
}

// program runs the program, and returns what it printed.
func program(t *testing.T, args ...string) (code int, out, log string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// measuredBy runs the program with -json.
func measuredBy(t *testing.T, args ...string) (code int, d document) {
	t.Helper()
	code, out, log := program(t, append([]string{"-json", "-progress", "0"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(out), &d), "%s%s", out, log)
	return code, d
}

// TestStallOfARealServer stalls a server for 500 ms. The calls that were due
// meanwhile have their whole delay in the histogram, although few calls were in
// progress.
func TestStallOfARealServer(t *testing.T) {
	const stall, callers = 500 * time.Millisecond, 8
	var requests, until atomic.Int64
	addr := serve(t, &server.FrameHandler{Append: func(ctx context.Context, dst, request []byte) ([]byte, error) {
		if requests.Add(1) == 300 {
			until.Store(time.Now().Add(stall).UnixNano())
		}
		time.Sleep(time.Until(time.Unix(0, until.Load())))
		return reply(ctx, dst, request)
	}})
	code, d := measuredBy(t, "-rate", "500", "-callers", "8", "-warmup", "0", "-duration", "1500ms", "-timeout", "10s", addr)
	require.Zero(t, code)
	m := d.Targets[0]
	require.EqualValues(t, 750, m.Calls)
	require.Zero(t, m.Failed)
	require.GreaterOrEqual(t, m.FromDue["max"], int64(stall)*9/10)
	// 250 calls, a third, were due in the stall, and 200 of them waited for more
	// than 100 ms.
	require.GreaterOrEqual(t, m.FromDue["p75"], int64(100*time.Millisecond))
	require.GreaterOrEqual(t, m.Late, int64(200))
	require.GreaterOrEqual(t, m.FromStart["max"], int64(stall)*9/10)
}

// TestTargets compares ways to call a server, with another format and over TLS.
func TestTargets(t *testing.T) {
	addr := serve(t, &server.FrameHandler{Append: reply, Format: framing.Format{HeaderSize: 4, LittleEndian: true}})
	folder := t.TempDir()
	svg, bars := filepath.Join(folder, "latency.svg"), filepath.Join(folder, "rate.svg")
	args := []string{"-format", "header=4,little-endian", "-callers", "4", "-warmup", "10ms", "-duration", "90ms", "-turn", "30ms",
		"-same", "-svg", svg, "-bars", bars, "-timeout", "10s"}
	code, d := measuredBy(t, append(args, addr, addr+",shared,conns=2,name=two")...)
	require.Zero(t, code)
	require.Len(t, d.Targets, 2)
	one, two := d.Targets[0], d.Targets[1]
	require.Equal(t, measured{Name: addr, Address: addr}, measured{Name: one.Name, Address: one.Address, Shared: one.Shared, Conns: one.Conns})
	require.Equal(t, measured{Name: "two", Address: addr, Shared: true, Conns: 2}, measured{Name: two.Name, Address: two.Address, Shared: two.Shared, Conns: two.Conns})
	for _, m := range d.Targets {
		require.Positive(t, m.Calls)
		require.Zero(t, m.Failed, m.Examples)
		require.GreaterOrEqual(t, m.Seconds, 0.09, "three turns")
		require.LessOrEqual(t, m.FromDue["p50"], m.FromDue["p99"])
	}
	require.Nil(t, one.Against)
	page, err := os.ReadFile("../../docs/load-testing.md")
	require.NoError(t, err)
	for key := range one.FromDue {
		require.Contains(t, string(page), "`"+key+"`", "a field of the JSON form")
	}
	ratio := two.Against["calls_per_second"]
	require.Positive(t, ratio.Min)
	require.LessOrEqual(t, ratio.Min, ratio.Median)
	require.LessOrEqual(t, ratio.Median, ratio.Max)
	for _, file := range []string{svg, bars} {
		drawn, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(drawn), ">two</text>")
	}
}

// certificate makes a certificate for 127.0.0.1, and a file with it.
func certificate(t *testing.T) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	cert, file := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(t, err)
	serveOn(t, l, &server.FrameHandler{Append: reply})
	request := filepath.Join(t.TempDir(), "request")
	require.NoError(t, os.WriteFile(request, []byte("hello"), 0o600))
	args := []string{"-callers", "2", "-warmup", "50ms", "-duration", "50ms", "-timeout", "10s", "-same", "-request", request, l.Addr().String()}
	for _, verify := range []string{"-insecure", "-ca=" + file} {
		code, d := measuredBy(t, append([]string{verify}, args...)...)
		require.Zero(t, code)
		require.Zero(t, d.Targets[0].Failed)
		require.Equal(t, 5, d.RequestBytes)
	}
	code, _, log := program(t, append([]string{"-tls"}, args...)...)
	require.Equal(t, exitFailed, code)
	require.Contains(t, log, "certificate")
}

// TestFormats has echo servers of several formats, whose replies must be the
// requests.
func TestFormats(t *testing.T) {
	for text, format := range map[string]framing.Format{
		"header=1":                    {HeaderSize: 1},
		"header=8,little-endian":      {HeaderSize: 8, LittleEndian: true},
		"header=varint":               {HeaderSize: framing.Varint},
		"header=2,offset=4,strip=-1":  {HeaderSize: 2, LengthOffset: 4, Strip: -1},
		"header=4,adjust=-4,strip=-1": {HeaderSize: 4, LengthAdjust: -4, Strip: -1},
	} {
		t.Run(text, func(t *testing.T) {
			addr := serve(t, &server.FrameHandler{Append: reply, Format: format})
			code, d := measuredBy(t, "-format", text, "-same", "-callers", "2", "-warmup", "0", "-duration", "20ms", "-timeout", "10s", addr, addr+",shared")
			require.Zero(t, code)
			for _, m := range d.Targets {
				require.Positive(t, m.Calls)
				require.Zero(t, m.Failed, m.Examples)
			}
		})
	}
}

func TestTextOfAnOpenLoop(t *testing.T) {
	addr := serve(t, &server.FrameHandler{Append: reply})
	svg := filepath.Join(t.TempDir(), "latency.svg")
	code, out, log := program(t, "-rate", "200", "-callers", "4", "-warmup", "0", "-duration", "250ms", "-progress", "50ms", "-svg", svg, "-timeout", "10s", addr)
	require.Zero(t, code, log)
	require.Contains(t, out, "Open loop: 200 calls a second are due, 4 can be in progress.")
	require.Contains(t, out, "from the start of the call")
	require.Contains(t, log, "of 250ms  "+addr+": ")
	drawn, err := os.ReadFile(svg)
	require.NoError(t, err)
	require.Contains(t, string(drawn), "from the due time")
	require.Contains(t, string(drawn), "stroke-dasharray")
}

// TestFailures has a server that ends each connection after the first request.
func TestFailures(t *testing.T) {
	var requests atomic.Int64
	addr := serve(t, &server.FrameHandler{Append: func(ctx context.Context, dst, request []byte) ([]byte, error) {
		if requests.Add(1)%2 == 0 {
			return nil, context.Canceled // ends the connection
		}
		return reply(ctx, dst, request)
	}})
	args := []string{"-callers", "1", "-rate", "100", "-warmup", "0", "-duration", "100ms", "-timeout", "10s"} // ten calls
	code, d := measuredBy(t, append(args, addr)...)
	require.Zero(t, code)
	m := d.Targets[0]
	require.EqualValues(t, 10, m.Calls)
	require.EqualValues(t, 5, m.Failed)
	require.Equal(t, map[string]int64{"peer closed": 5}, m.Failures)
	require.NotEmpty(t, m.Examples["peer closed"])
	code, out, _ := program(t, append(args, "-max-failed", "1", addr)...)
	require.Equal(t, exitLimit, code)
	require.Contains(t, out, "failed: peer closed, for example ")
}

func TestWrongReplies(t *testing.T) {
	addr := serve(t, &server.FrameHandler{Handle: func(context.Context, []byte) ([]byte, error) { return []byte("no"), nil }})
	code, out, log := program(t, "-callers", "1", "-warmup", "0", "-duration", "20ms", "-same", addr)
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "wrong reply")
	require.Contains(t, log, "no call succeeded")
}

// TestNobodyThere ends in the warm-up, and says why.
func TestNobodyThere(t *testing.T) {
	code, out, log := program(t, "-warmup", "20ms", "-callers", "2", "127.0.0.1:1")
	require.Equal(t, exitFailed, code)
	require.Empty(t, out)
	require.Contains(t, log, "no call succeeds: ")
	require.Contains(t, log, "refused")
}

func TestInterruptedProgram(t *testing.T) {
	addr := serve(t, &server.FrameHandler{Append: reply})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var out, log bytes.Buffer
	require.Zero(t, run(ctx, []string{"-warmup", "0", "-duration", "1h", "-callers", "2", addr}, &out, &log))
	require.Contains(t, out.String(), "interrupted; these are the results so far\n")
	require.Contains(t, out.String(), "\n"+addr+" ")
}

// TestEcho calls servers of the program's own.
func TestEcho(t *testing.T) {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	code, out, log := program(t, "-echo", addr+",delay=20ms,concurrency=4", "-callers", "4", "-warmup", "0", "-duration", "50ms", "-same", "-timeout", "10s", addr+",shared")
	require.Zero(t, code, log)
	require.Contains(t, log, "echo server in this process: "+addr)
	require.NotContains(t, out, "failed:")

	code, _, log = program(t, "-echo", "256.0.0.1:1", addr)
	require.Equal(t, exitFailed, code)
	require.NotEmpty(t, log)
}

func TestEchoPauses(t *testing.T) {
	e := echo{pause: 300 * time.Millisecond}
	begun := time.Now().Add(-period + 100*time.Millisecond) // in the pause
	e.wait(begun)
	require.GreaterOrEqual(t, time.Since(begun), period)
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "no target"},
		{[]string{"-rate", "-1", "x:1"}, "-rate is negative"},
		{[]string{"-callers", "0", "x:1"}, "-callers"},
		{[]string{"-duration", "0", "x:1"}, "-duration"},
		{[]string{"-warmup", "-1s", "x:1"}, "-warmup"},
		{[]string{"-size", "-1", "x:1"}, "-size"},
		{[]string{"-request", "no-such-file", "x:1"}, "no-such-file"},
		{[]string{"-ca", "no-such-file", "x:1"}, "no-such-file"},
		{[]string{"-ca", "main.go", "x:1"}, "has no certificate"},
		{[]string{"-format", "header=5", "x:1"}, "-format"},
		{[]string{"-format", "header=x", "x:1"}, "-format"},
		{[]string{"-format", "offset=2", "x:1"}, "-format"}, // can be read only
		{[]string{"-format", "head=4", "x:1"}, "not an option of a format"},
		{[]string{"-format", "header=1", "-size", "256", "x:1"}, "the request is no frame"},
		{[]string{"-format", "header=2,offset=4,strip=-1", "-size", "3", "x:1"}, "the request is no frame"},
		{[]string{",shared"}, "no address"},
		{[]string{"x:1,conns=0"}, "want a number"},
		{[]string{"x:1,fast"}, "not an option of a target"},
		{[]string{"-echo", "x:1,pause=3s", "x:1"}, "want a pause below"},
		{[]string{"-echo", "x:1,quick", "x:1"}, "not an option of an echo server"},
		{[]string{"-echo", "", "x:1"}, "no address"},
		{[]string{"-such"}, "not defined"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code, out, log := program(t, c.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Contains(t, log, c.want)
		})
	}
	code, _, log := program(t, "-h")
	require.Zero(t, code)
	require.Contains(t, log, "Usage: load [flags] target...")
	require.Contains(t, log, "-max-failed percent")
}

func TestParse(t *testing.T) {
	s, err := parse([]string{"-shared", "-conns", "3", "-format", "header=varint,max=100", "-size", "5", "-insecure", "a:1", "b:2,exclusive,name=b"}, os.Stderr)
	require.NoError(t, err)
	require.Equal(t, []target{{"a:1", "a:1", true, 3}, {"b", "b:2", false, 3}}, s.targets)
	require.Equal(t, framing.Format{HeaderSize: framing.Varint, MaxSize: 100}, s.format)
	require.Equal(t, "xxxxx", string(s.request))
	require.True(t, s.tls.InsecureSkipVerify)

	f, err := parseFormat("header=2,offset=4,adjust=-6,strip=-1")
	require.NoError(t, err)
	require.Equal(t, framing.Format{HeaderSize: 2, LengthOffset: 4, LengthAdjust: -6, Strip: -1}, f)

	e, err := parseEcho("c:3,delay=1ms,pause=1s,concurrency=9")
	require.NoError(t, err)
	require.Equal(t, echo{addr: "c:3", delay: time.Millisecond, pause: time.Second, concurrency: 9}, e)
}

func TestVersus(t *testing.T) {
	base := outcome{turns: []turn{{10, 1, 2}, {20, 0, 2}, {30, 1, 2}}}
	o := outcome{turns: []turn{{20, 3, 2}, {20, 3, 8}, {90, 5, 4}}}
	s, ok := o.versus(base, rateOf)
	require.True(t, ok)
	require.Equal(t, spread{1, 2, 3}, s)
	s, ok = o.versus(base, p50Of)
	require.True(t, ok)
	require.Equal(t, spread{3, 4, 5}, s, "a turn without a figure is left out")
	_, ok = o.versus(outcome{}, p99Of)
	require.False(t, ok)
	require.Equal(t, "–", o.ratio(outcome{}, p99Of))
}

func TestNumbers(t *testing.T) {
	for ns, want := range map[int64]string{0: "0s", 999: "999ns", 12_345: "12.3µs", 123_456: "123µs", 1_234_567: "1.23ms", 59_994_000_000: "1m0s"} {
		require.Equal(t, want, short(ns))
	}
	require.Equal(t, "1,234,567", count(1234567))
	require.Equal(t, "12", count(12.4))
	require.Equal(t, "12.3 %", percent(123, 1000))
}
