// Command report runs the comparison programs of this module one after another,
// prints their tables, and writes docs/benchmarks.md and its charts. The text around the tables
// is benchmarks.md.tmpl, beside this file.
//
//	go run ./report            # from internal/benchmarks: the whole, less than ten minutes
//	go run ./report -short     # to see that all works; writes nothing unless -o is given
//	go run ./report -charts    # draws the charts of the page again
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
)

// topics are the programs in the order in which they run.
var topics = []string{"codec", "conn", "idle", "retry", "pools", "facade", "server", "client", "addresses", "cluster", "observe"}

func main() {
	out := flag.String("o", "", "file to write (default ../../docs/benchmarks.md, with -short none)")
	short := flag.Bool("short", false, "few and short rounds, to see that all works")
	rounds := flag.Int("rounds", 0, "rounds of every program (0: what each has set for itself)")
	redraw := flag.Bool("charts", false, "measure nothing: draw the charts of the page again, from its tables")
	flag.Parse()
	if *out == "" && !*short {
		*out = filepath.Join("..", "..", "docs", "benchmarks.md")
	}
	if *redraw {
		if err := drawCharts(*out); err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(1)
		}
		return
	}
	var args []string
	if *short {
		args = append(args, "-short")
	}
	if *rounds > 0 {
		args = append(args, "-rounds", strconv.Itoa(*rounds))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := report(ctx, args, *out); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, args []string, out string) error {
	m := thisMachine() // before the measuring, for its load
	tables, err := runAll(ctx, topics, args)
	if err != nil {
		return err
	}
	text, err := render(document, m, tables)
	if err != nil || out == "" {
		return err
	}
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		return err
	}
	return drawCharts(out)
}

// drawCharts draws the charts of a page that is written.
func drawCharts(page string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	all, err := charts(string(text))
	if err != nil {
		return err
	}
	if err := pictures.Write(page, prefix, all); err != nil {
		return err
	}
	return writeReadmes(page, string(text))
}
