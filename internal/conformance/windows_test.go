package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Windows builds of the tests run under wine, where it is installed: a Windows
// machine is not needed to see that they pass. GTCP_WINDOWS=all, which make
// windows sets, takes every package; GTCP_WINDOWS=quick, and a run without it, take
// the quick ones.
//
// A run without it gives a package that fails a second run, and fails only for a
// test that fails in both; the first failure is logged. wine's clock steps by up to
// 16 ms, and all its sockets go through one server process, so a test may meet a
// moment there that Windows does not have. A fault of our Windows code fails each
// time. With GTCP_WINDOWS set one failure is enough. GTCP_WINDOWS=off, which make
// race sets, takes none: the race detector does not see into a Windows program.

// windowsRun is one package, and what wine cannot run of its tests.
type windowsRun struct {
	dir   string
	quick bool
	skip  []string // patterns of -test.skip
}

// noCounts leaves out tests that count allocations or bytes, which are tuned for
// Linux.
const noCounts = "Alloc|HoldsNoBuffer|IdleMemory|HoldsNoRequest|KeepsItsFirstStack"

// noErrnos leaves out tests that make or look for unix error numbers. Windows has
// its own, which package syscall does not map; conn.KindOf knows both.
const noErrnos = "TestDialErrors|TestKindOf$|TestCheckSeesAReset|TestAskOfAConnectionThatWasReset|" +
	"TestResetIsAnError|TestWriteToAPeerThatIsGone|TestCloseWrite|TestAcceptErrors|TestOutage|" +
	"TestErrorsAreOpErrors|TestErrorsSayWhatToLookAt"

// noDrain leaves out a drain under callers that connect again at once. wine accepts
// some 500 connections a second, so its accept queue never empties, and how long the
// queue was when Shutdown began cannot be asked there.
const noDrain = "TestDrainLosesNothing"

// noFiles leaves out tests of files in a temporary folder, which wine 8 cannot remove
// in the way Go 1.26 asks for.
const noFiles = "TestTLS$|TestTLSFilesMissingOrMismatched|TestWrapperThatSpeaksTLS"

// noUnix leaves out unix sockets, which wine 8 does not have. It stands last: a
// pattern with a slash hides those behind it from -test.skip. conn's tests see for
// themselves that there are none.
const noUnix = "TestUnixSocket|TestListenAndServe$|TestNetworks|/unix|/.*/unix"

var windowsRuns = []windowsRun{
	{dir: "retry", quick: true},
	{dir: "framing", quick: true},
	{dir: "pool/backend", quick: true},
	{dir: "pool/engine", quick: true},
	{dir: "pool/slotpool", quick: true},
	{dir: "pool/puddlepool", quick: true},
	{dir: "pool/pooltest"},
	// How many connections a burst opens is not the same where dials take longer.
	{dir: "pool/pipeline", quick: true, skip: []string{noCounts, "TestManyCallers", noUnix}},
	// A File of a socket is something else on Windows.
	{dir: "conn", quick: true, skip: []string{noCounts, noErrnos, "TestAskInBlockingMode"}},
	// A look at what is no socket takes its millisecond there.
	{dir: "pool", skip: []string{noCounts, noErrnos, "TestHooksThatBegin", noUnix}},
	{dir: "server", skip: []string{noCounts, noErrnos, noDrain, noUnix}},
	{dir: ".", skip: []string{noCounts, noErrnos, noFiles, noUnix}},
}

// bcryptprimitives stands in for a library that the Go runtime asks for random
// bytes and that wine 8 lacks.
const bcryptprimitives = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return SystemFunction036(p, (ULONG)n); }
`

func TestWindowsUnderWine(t *testing.T) {
	set := os.Getenv("GTCP_WINDOWS")
	if set == "off" {
		t.Skip("GTCP_WINDOWS=off")
	}
	w := newWine(t)
	for _, r := range windowsRuns {
		if set != "all" && !r.quick {
			continue
		}
		t.Run(r.dir, func(t *testing.T) {
			run := w.build(t, r)
			out, err := run()
			if err == nil {
				return
			}
			if set != "" {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("the first of two runs: %v\n%s", err, out)
			again, err := run()
			if err == nil {
				return
			}
			t.Logf("the second run: %v\n%s", err, again)
			if both := failedTwice(out, again); len(both) > 0 {
				t.Fatal("failed twice:", strings.Join(both, ", "))
			}
		})
	}
}

// failedTwice returns the tests that both outputs of one package name as failed. An
// output that names none is of a program that crashed or hung; then that counts as
// one.
func failedTwice(first, second string) []string {
	var both []string
	a, b := failedTests(first), failedTests(second)
	if len(a) == 0 || len(b) == 0 {
		return []string{"the program, or a test it does not name"}
	}
	for _, name := range a {
		if slices.Contains(b, name) {
			both = append(both, name)
		}
	}
	return both
}

var failLine = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// failedTests returns the failed tests that an output names, of a test with failed
// subtests these alone.
func failedTests(out string) []string {
	var names []string
	for _, m := range failLine.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+"/") })
	})
}

func TestOnlyWhatFailsTwiceFails(t *testing.T) {
	const (
		one   = "--- FAIL: TestOne (0.44s)\n    end_test.go:196: EOF\nFAIL\n"
		other = "--- FAIL: TestOther (0.01s)\nFAIL\n"
		sub   = "--- FAIL: TestSub (0.44s)\n    --- FAIL: TestSub/a (0.44s)\nFAIL\n"
		sub2  = "--- FAIL: TestSub (0.44s)\n    --- FAIL: TestSub/b (0.44s)\nFAIL\n"
		crash = "panic: test timed out after 5m0s\n"
	)
	for _, c := range []struct {
		name, first, second string
		want                []string
	}{
		{"the same", one, one, []string{"TestOne"}},
		{"another", one, other, nil},
		{"one of two", other + one, one, []string{"TestOne"}},
		{"the same subtest", sub, sub, []string{"TestSub/a"}},
		{"another subtest", sub, sub2, nil},
		{"crashed, then failed", crash, one, []string{"the program, or a test it does not name"}},
		{"failed, then crashed", one, crash, []string{"the program, or a test it does not name"}},
		{"crashed twice", crash, crash, []string{"the program, or a test it does not name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := failedTwice(c.first, c.second); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// wine is an installed wine with a prefix of its own.
type wine struct {
	program string
	env     []string
	tmp     string
}

// newWine makes the prefix, in which the Go runtime finds its random bytes.
func newWine(t *testing.T) *wine {
	program := find("wine64", "/usr/lib/wine/wine64")
	server := find("wineserver", "/usr/lib/wine/wineserver", "/usr/lib/wine/wineserver64")
	compiler := find("x86_64-w64-mingw32-gcc")
	if program == "" || server == "" || compiler == "" {
		t.Skip("needs wine64 and x86_64-w64-mingw32-gcc (Debian: wine64, gcc-mingw-w64-x86-64)")
	}
	// Not below t.TempDir: wineserver may still write while it is removed.
	tmp, err := os.MkdirTemp("", "gtcp-wine")
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(tmp, "prefix")
	w := &wine{program: program, tmp: tmp, env: append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all",
		"WINEDLLOVERRIDES=bcryptprimitives=n;mscoree=;mshtml=;winemenubuilder.exe=")}
	t.Cleanup(func() {
		// t.Context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, how := range []string{"-k", "-w"} {
			cmd := exec.CommandContext(ctx, server, how) // of this prefix alone
			cmd.Env = w.env
			_ = cmd.Run()
		}
		if err := os.RemoveAll(tmp); err != nil {
			t.Log(err)
		}
	})
	w.must(t, 3*time.Minute, program, "wineboot", "-i")
	source, library := filepath.Join(tmp, "b.c"), filepath.Join(prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if err := os.WriteFile(source, []byte(bcryptprimitives), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(t, time.Minute, compiler, "-shared", "-O2", "-o", library, source, "-ladvapi32")
	return w
}

func find(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// build builds the tests of one package for Windows, and returns what runs them.
func (w *wine) build(t *testing.T, r windowsRun) (run func() (string, error)) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(w.tmp, strings.ReplaceAll(r.dir, "/", "_")+".test.exe")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, "./"+r.dir)
	build.Dir = root
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := []string{program, "-test.short", "-test.timeout=5m"}
	if len(r.skip) > 0 {
		args = append(args, "-test.skip="+strings.Join(r.skip, "|"))
	}
	return func() (string, error) {
		out, err := w.run(t, filepath.Join(root, r.dir), 6*time.Minute, w.program, args...)
		if err != nil && out == "" {
			// Nothing of ours ends without a word: wine has not started it, as it does
			// once in some hundred times under load.
			t.Logf("wine did not run the tests: %v", err)
			out, err = w.run(t, filepath.Join(root, r.dir), 6*time.Minute, w.program, args...)
		}
		return out, err
	}
}

func (w *wine) must(t *testing.T, limit time.Duration, name string, args ...string) {
	t.Helper()
	if out, err := w.run(t, "", limit, name, args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (w *wine) run(t *testing.T, dir string, limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("it hangs"))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, w.env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return string(out), fmt.Errorf("%s: %w (%v)", filepath.Base(name), err, context.Cause(ctx))
	}
	return string(out), nil
}
