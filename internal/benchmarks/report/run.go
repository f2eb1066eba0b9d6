package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// runAll runs the programs in the folders named, one at a time and each in a
// process of its own, so that none inherits another's heap or goroutines. All
// are built first: what does not compile is found before ten minutes have gone.
func runAll(ctx context.Context, topics, args []string) (map[string][]compare.Table, error) {
	bin, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	build := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator))
	for _, topic := range topics {
		build.Args = append(build.Args, "./"+topic)
	}
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building the programs: %w", err)
	}
	all := map[string][]compare.Table{}
	for _, topic := range topics {
		start := time.Now()
		fmt.Printf("=== %s\n", topic)
		all[topic], err = run(exec.CommandContext(ctx, filepath.Join(bin, topic), append([]string{"-json"}, args...)...), os.Stdout)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", topic, err)
		}
		fmt.Printf("=== %s took %v\n\n", topic, time.Since(start).Round(time.Second))
	}
	return all, nil
}

// run runs one program, prints each table as soon as it is done, and returns
// all of them.
func run(program *exec.Cmd, progress io.Writer) (tables []compare.Table, err error) {
	program.Stderr = os.Stderr
	out, err := program.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := program.Start(); err != nil {
		return nil, err
	}
	for t, e := range compare.Tables(out) {
		if err = e; err != nil {
			_ = program.Process.Kill() // its output makes no sense: the error says so
			break
		}
		tables = append(tables, t)
		fmt.Fprintln(progress, t.Text())
	}
	err = errors.Join(err, program.Wait())
	if err == nil && len(tables) == 0 {
		err = errors.New("no tables")
	}
	return tables, err
}
