// Command load is a load generator for any server of length-prefixed frames. It
// calls one server or several, or one server in several ways, and prints how many
// calls a second succeed, the percentiles of their latency, and their errors by
// kind. Look at the two lines of a target in an open loop: the first counts from
// when a call was due, so a server that stalls cannot hide it.
//
//	cd examples/load
//	go run . -callers 64 localhost:8999 localhost:8999,shared     # a closed loop
//	go run . -rate 5000 -svg latency.svg localhost:8999           # an open loop
//	go run . -echo 127.0.0.1:8999 127.0.0.1:8999                  # no server at hand
//
// It starts no server unless -echo is given. docs/load-testing.md explains all.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // no call succeeds, or the results cannot be written
	exitUsage  = 2
	exitLimit  = 3 // more calls failed than -max-failed
)

const usage = `Usage: load [flags] target...

A target is host:port, followed by options with commas:
  host:port                    each call has a connection to itself
  host:port,shared             all calls share a few connections
  host:port,shared,conns=4     at most 4 connections
  host:port,name=old           the name in the results
Several targets take turns, and are compared with the first.

Exit codes: 0 results were printed, 1 no call succeeded, 2 wrong usage,
3 more calls failed than -max-failed. Ctrl-C ends the run; the results so far are
printed.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the flags.
type settings struct {
	test
	echoes    []echo
	asJSON    bool
	svg, bars string
	maxFailed float64 // percent
}

// run is the program. Results go to out, all else to log.
func run(ctx context.Context, args []string, out, log io.Writer) int {
	s, err := parse(args, log)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(log, "load:", err)
		return exitUsage
	}
	code, err := s.measure(ctx, out, log)
	if err != nil {
		fmt.Fprintln(log, "load:", err)
	}
	return code
}

func parse(args []string, log io.Writer) (s settings, err error) {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.SetOutput(log)
	f.Usage = func() {
		fmt.Fprint(log, usage)
		f.PrintDefaults()
	}
	var defaults target
	var format, file, ca string
	var size int
	var secure, insecure, same bool
	f.Float64Var(&s.rate, "rate", 0, "calls a second that are due: an open loop; 0 is a closed loop")
	f.IntVar(&s.callers, "callers", 64, "callers, and the most calls in progress")
	f.DurationVar(&s.duration, "duration", 10*time.Second, "for how long each target is called")
	f.DurationVar(&s.warmUp, "warmup", time.Second, "for how long before that, without counting")
	f.DurationVar(&s.turn, "turn", time.Second, "length of a turn, if there are several targets")
	f.DurationVar(&s.timeout, "timeout", time.Second, "time limit of a call")
	f.IntVar(&size, "size", 64, "bytes of a request")
	f.StringVar(&file, "request", "", "`file` with the request, in place of -size")
	f.BoolVar(&same, "same", false, "a reply must equal its request: for echo servers")
	f.BoolVar(&defaults.shared, "shared", false, "all targets are shared, unless they say exclusive")
	f.IntVar(&defaults.conns, "conns", 0, "connections of each target, at most (0: 1 if shared, else 64)")
	f.StringVar(&format, "format", "", "`options` of the frames, with commas: header=N or header=varint, little-endian, offset=N, adjust=N, strip=N, max=N (default header=2)")
	f.BoolVar(&s.envelope, "envelope", false, "requests and replies have envelopes, as with FrameHandler.Envelope of the server")
	f.StringVar(&s.method, "method", "", "`name` of the method in the envelopes; implies -envelope")
	f.BoolVar(&secure, "tls", false, "use TLS")
	f.StringVar(&ca, "ca", "", "`file` with the certificates that sign the server's, in PEM; implies -tls")
	f.BoolVar(&insecure, "insecure", false, "do not verify the server's certificate; implies -tls")
	f.DurationVar(&s.progress, "progress", time.Second, "time between two lines of progress on standard error (0: none)")
	f.BoolVar(&s.asJSON, "json", false, "print the results as JSON")
	f.StringVar(&s.svg, "svg", "", "`file` for a chart of the latencies")
	f.StringVar(&s.bars, "bars", "", "`file` for a chart of the calls a second")
	f.Float64Var(&s.maxFailed, "max-failed", 100, "`percent` of the calls of a target that may fail, else the exit code is 3")
	f.Func("echo", "also serve echoes at this `address`, in this process; repeat it for more. Options: delay=D, pause=D, concurrency=N", func(text string) error {
		e, err := parseEcho(text)
		s.echoes = append(s.echoes, e)
		return err
	})
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for _, text := range f.Args() {
		t, err := parseTarget(text, defaults)
		if err != nil {
			return s, fmt.Errorf("target %q: %w", text, err)
		}
		s.targets = append(s.targets, t)
	}
	if s.format, err = parseFormat(format); err != nil {
		return s, fmt.Errorf("-format: %w", err)
	}
	if s.request, err = payload(file, size); err != nil {
		return s, err
	}
	s.envelope = s.envelope || s.method != ""
	echoed, err := s.echoed()
	if err != nil {
		return s, err
	}
	if same {
		s.reply = echoed
	}
	s.tls, err = tlsConfig(secure, insecure, ca)
	s.grace = s.timeout
	return s, errors.Join(err, s.check())
}

// check finds what cannot be meant.
func (s settings) check() error {
	switch {
	case len(s.targets) == 0:
		return errors.New("no target; -h shows the usage")
	case s.rate < 0:
		return errors.New("-rate is negative")
	case s.callers < 1:
		return errors.New("-callers must be 1 or more")
	case s.duration <= 0 || s.turn <= 0 || s.timeout <= 0:
		return errors.New("-duration, -turn and -timeout must be positive")
	case s.warmUp < 0:
		return errors.New("-warmup is negative")
	}
	return nil
}

// payload is the request.
func payload(file string, size int) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	if size < 0 {
		return nil, errors.New("-size is negative")
	}
	return bytes.Repeat([]byte{'x'}, size), nil
}

func tlsConfig(secure, insecure bool, ca string) (*tls.Config, error) {
	if !secure && !insecure && ca == "" {
		return nil, nil
	}
	config := &tls.Config{InsecureSkipVerify: insecure}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", ca)
		}
	}
	return config, nil
}

// measure runs the test and writes its results.
func (s settings) measure(ctx context.Context, out, log io.Writer) (code int, err error) {
	for _, e := range s.echoes {
		stop, err := e.serve(s.format, s.envelope, log)
		if err != nil {
			return exitFailed, err
		}
		defer func() {
			if e := stop(); e != nil {
				fmt.Fprintln(log, "load: echo server:", e)
			}
		}()
	}
	results, err := s.run(ctx, log)
	if err != nil {
		return exitFailed, err
	}
	if err := s.write(out, results, ctx.Err() != nil); err != nil {
		return exitFailed, err
	}
	for _, o := range results {
		switch {
		case o.calls > 0 && o.failed == o.calls:
			return exitFailed, fmt.Errorf("%s: no call succeeded", o.name)
		case o.calls > 0 && 100*float64(o.failed)/float64(o.calls) > s.maxFailed:
			code = exitLimit
		}
	}
	return code, nil
}

func (s settings) write(out io.Writer, results []outcome, interrupted bool) error {
	printer := s.printText
	if s.asJSON {
		printer = s.printJSON
	}
	if err := printer(out, results, interrupted); err != nil {
		return err
	}
	for file, draw := range map[string]func([]outcome) []byte{s.svg: s.latencies, s.bars: s.throughputs} {
		if file != "" {
			if err := os.WriteFile(file, draw(results), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
