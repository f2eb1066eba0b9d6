//go:build linux

// Command chaos breaks a network in every way that internal/netlab can, under the
// load of gtcp's clients and of their peers at once, checks each reply, and
// writes docs/chaos.md and its chart. It needs Linux, root, iproute2 and /dev/net/tun.
//
//	go run ./chaos                 # from internal/benchmarks: the whole, about a quarter of an hour
//	go run ./chaos -short          # ten cases in two minutes; writes nothing unless -o is given
//	go run ./chaos -charts         # draws the charts of the page again
//	go run ./chaos -case partition # those whose name matches
//
// Each kind of client is a process in one host, the server a process in another.
// All kinds meet the same fault at the same time.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

// roleVariable makes the program a part of the stage in place of its director.
const roleVariable = "GTCP_CHAOS_ROLE"

func main() {
	switch os.Getenv(roleVariable) {
	case roleServer:
		end(serve(os.Stdin, os.Stdout))
	case roleClient:
		end(callLoop(os.Stdin, os.Stdout))
	}
	var o options
	var pattern, only string
	flag.BoolVar(&o.short, "short", false, "only the cases of the short form")
	flag.StringVar(&o.out, "o", "", "file to write (default ../../docs/chaos.md; with -short or -case none)")
	flag.StringVar(&pattern, "case", "", "regular expression of the cases")
	redraw := flag.Bool("charts", false, "break nothing: draw the charts of docs/chaos.md again, from its tables")
	flag.StringVar(&only, "kinds", "", "kinds of client, with commas; empty means all")
	flag.Parse()
	if *redraw {
		end(drawCharts(filepath.Join("..", "..", "docs", "chaos.md")))
	}
	o.match = regexp.MustCompile(pattern)
	if only != "" {
		o.kinds = strings.Split(only, ",")
	}
	if o.out == "" && !o.short && pattern == "" && only == "" {
		o.out = filepath.Join("..", "..", "docs", "chaos.md")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	end(direct(ctx, o, os.Stdout))
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	short bool
	out   string
	match *regexp.Regexp
	kinds []string
	// recipes plays only the cases that have recipes.
	recipes bool
}

// direct plays the cases and writes the page.
func direct(ctx context.Context, o options, w io.Writer) error {
	played, faults, err := playAll(ctx, o, w)
	if err != nil {
		return err
	}
	var recipes []outcome
	if !o.short && len(o.kinds) == 0 {
		o.kinds, o.recipes = kindNames(true), true
		var more []string
		if recipes, more, err = playAll(ctx, o, w); err != nil {
			return err
		}
		faults = append(faults, more...)
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(page(played, recipes)), 0o644); err != nil {
			return err
		}
		if err := drawCharts(o.out); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("gtcp's clients must not do this:\n%s", strings.Join(faults, "\n"))
	}
	return nil
}

// playAll plays the cases one after another, and collects what gtcp's clients
// must not do.
func playAll(ctx context.Context, o options, w io.Writer) (played []outcome, faults []string, err error) {
	names := o.kinds
	if len(names) == 0 {
		names = kindNames(false)
	}
	for _, c := range cases {
		if o.short && !c.short || o.recipes && !c.recipe || !o.match.MatchString(c.name) {
			continue
		}
		out, err := play(ctx, c, names)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintln(w, out.text())
		played = append(played, out)
		faults = append(faults, out.faults()...)
	}
	return played, faults, nil
}
