package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// memory bounds what a mutant may take: an endless loop that appends would take
// the machine's.
const memory = 4 << 20 // kilobytes of address space

// ran is what became of one run of the tests.
type ran struct {
	failed, timedOut bool
	killer           string // the test that failed; empty if the output does not say
}

func (r ran) why() string {
	if r.timedOut {
		return " (out of time)"
	}
	return ""
}

// run runs the tests until one fails. Each may take five times as long as it took
// alone, and all of them a second more.
func (t *trial) run(ctx context.Context, binary string, number int, tests []testCover, patience time.Duration) ran {
	names := make([]string, len(tests))
	limit := time.Second
	for i, c := range tests {
		names[i] = c.Name
		limit += 5 * c.Took
	}
	limit *= patience
	// The binary ends itself; what cannot do even that is killed.
	hard, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(hard, "sh", "-c", `ulimit -v "$0"; exec "$@"`, strconv.Itoa(memory), binary,
		"-test.failfast", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Dir = filepath.Join(t.p.root, tests[0].Dir)
	cmd.Env = append(os.Environ(), switchVar+"="+strconv.Itoa(number))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ran{}
	}
	r := ran{failed: true, timedOut: hard.Err() != nil}
	text := string(out)
	if _, rest, ok := strings.Cut(text, "panic: test timed out after"); ok {
		r.timedOut = true
		text = rest
	}
	if found := failedTest.FindStringSubmatch(text); found != nil {
		r.killer = found[1] + found[2]
	}
	return r
}

// failedTest finds the name of a test that failed or that ran when time was up, up
// to the first slash of a subtest's.
var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)|^running tests:\s+(\w+)`)

// overlay writes files of the package and the map that puts them in the place of
// the true ones.
func (p *pkg) overlay(tmp string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for name, text := range files {
		replace[filepath.Join(p.root, p.dir, name)] = filepath.Join(tmp, name)
		if err := os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(tmp, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// compile builds the tests in dir with the overlay.
func (p *pkg) compile(ctx context.Context, tmp, overlay, dir string) (binary string, out []byte, err error) {
	binary = filepath.Join(tmp, strings.ReplaceAll(dir, "/", "_")+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./"+dir)
	build.Dir = p.root
	out, err = build.CombinedOutput()
	return binary, out, err
}
