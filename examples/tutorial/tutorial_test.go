package tutorial_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// longest is how long a program may take on a busy machine.
const longest = time.Minute

func TestTutorial(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	require.NoError(t, err)
	r := &reader{t: t, sections: strings.Split(string(page), "\n## "), folder: t.TempDir()}
	for n, step := range []func(){
		r.firstCall, r.refused, r.limits, r.encrypted, r.measured, r.stopped, r.threeServers,
	} {
		r.step = n + 1
		require.True(t, strings.HasPrefix(r.sections[r.step], fmt.Sprintf("%d. ", r.step)))
		step()
	}
}

// reader does what the page tells the reader to do.
type reader struct {
	t        *testing.T
	sections []string // of the page, by step
	step     int
	folder   string
}

func (r *reader) firstCall() {
	s := r.start("server")
	r.calls(s.addr, "hello world")
	s.kill()
}

func (r *reader) refused() {
	s := r.start("server")
	s.kill()
	r.calls(s.addr, "hello")
}

func (r *reader) limits() {
	s := r.start("server")
	r.calls(s.addr, `hello ""`)
	r.calls(s.addr, `"$(head -c 2000 /dev/zero | tr '\0' x)"`)
	s.kill()
}

func (r *reader) encrypted() {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(r.t, err)
	cmd := exec.Command("go", "run", filepath.Join(strings.TrimSpace(string(goroot)), "src/crypto/tls/generate_cert.go"), "-host", "127.0.0.1")
	cmd.Dir = r.folder
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
	_, err = tls.LoadX509KeyPair(filepath.Join(r.folder, "cert.pem"), filepath.Join(r.folder, "key.pem"))
	require.NoError(r.t, err)

	s := r.start("server")
	r.calls(s.addr, "hello")
	r.fails(s.addr, 3)
	s.kill()

	r.step = 3
	s = r.start("server")
	r.fails(s.addr, 4)
	s.kill()
}

// fails calls a server with the client of another step, and compares the error
// with step 4 of the page.
func (r *reader) fails(addr string, step int) {
	r.t.Helper()
	r.step = step
	out, err := r.command("client", "-addr", addr, "hello").CombinedOutput()
	require.Error(r.t, err)
	r.step = 4
	r.shows(strings.ReplaceAll(string(out), addr, "127.0.0.1:7001"))
}

func (r *reader) measured() {
	s := r.start("server", "-metrics", "127.0.0.1:0")
	_, url, ok := strings.Cut(s.line(), "metrics on ")
	require.True(r.t, ok)
	r.calls(s.addr, "hello world")
	reply, err := http.Get(url)
	require.NoError(r.t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	require.NoError(r.t, err)
	r.shows(strings.Join(regexp.MustCompile(`(?m)^.*requests_total.*$`).FindAllString(string(text), -1), "\n"))
	s.kill()
}

func (r *reader) stopped() {
	s := r.start("server", "-metrics", "127.0.0.1:0")
	metrics := regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(s.line(), "127.0.0.1:9001")
	r.calls(s.addr, "hello")
	r.shows("serving on 127.0.0.1:7001\n" + metrics + "\n" + s.terminate())
}

// threeServers restarts the servers one after another while the client calls.
func (r *reader) threeServers() {
	var servers []*program
	var addrs []string
	for range 3 {
		s := r.start("server", "-metrics", "")
		servers, addrs = append(servers, s), append(addrs, s.addr)
	}
	client := r.command("client", "-addrs", strings.Join(addrs, ","), "-for", "4s")
	var out bytes.Buffer
	client.Stdout, client.Stderr = &out, &out
	require.NoError(r.t, client.Start())
	defer func() { _ = client.Wait() }() // if an assertion fails
	for _, s := range servers {
		time.Sleep(500 * time.Millisecond) // the client calls meanwhile
		require.Regexp(r.t, `^stopped after \d+ requests$`, s.terminate())
		r.start("server", "-metrics", "", "-addr", s.addr)
	}
	require.NoError(r.t, client.Wait(), out.String())

	figures := regexp.MustCompile(`\d+`)
	shape := func(text string) string {
		for n, addr := range addrs {
			text = strings.ReplaceAll(text, addr, fmt.Sprintf("127.0.0.1:%d", 7001+n))
		}
		return figures.ReplaceAllString(text, "N")
	}
	require.Contains(r.t, out.String(), ", 0 failed\n")
	require.Contains(r.t, shape(r.sections[r.step]), "```text\n"+shape(out.String())+"```\n")
}

// calls runs the client with the arguments that the page has, and compares what
// it prints.
func (r *reader) calls(addr, args string) {
	r.t.Helper()
	require.Contains(r.t, r.sections[r.step], "```sh\ngo run ./client "+args+"\n```\n", "the page has the command")
	words := strings.Fields(args)
	for n, word := range words {
		words[n] = strings.Trim(word, `"`)
	}
	if strings.Contains(args, "/dev/zero") {
		words = []string{strings.Repeat("x", 2000)}
	}
	out, _ := r.command("client", append([]string{"-addr", addr}, words...)...).CombinedOutput() // with its errors
	r.shows(strings.ReplaceAll(string(out), addr, "127.0.0.1:7001"))
}

// shows requires that the section of the page has the output.
func (r *reader) shows(out string) {
	r.t.Helper()
	require.Contains(r.t, r.sections[r.step], "```text\n"+strings.TrimSpace(out)+"\n```\n")
}

// command is a program as the step leaves it: of the last step that changed it.
func (r *reader) command(name string, args ...string) *exec.Cmd {
	r.t.Helper()
	step := r.step
	source := func() string { return fmt.Sprintf("step%d/%s", step, name) }
	for _, err := os.Stat(source()); err != nil; _, err = os.Stat(source()) {
		step--
		require.NotZero(r.t, step)
	}
	binary := filepath.Join(r.folder, fmt.Sprintf("%s%d", name, step))
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if _, err := os.Stat(binary); err != nil {
		out, err := exec.Command("go", "build", "-o", binary, "./"+source()).CombinedOutput()
		require.NoError(r.t, err, string(out))
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	r.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = r.folder
	return cmd
}

// program is a server that runs.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bufio.Reader
	addr string
}

// start starts a server on a port that stays free after it, unless args has another one.
func (r *reader) start(name string, args ...string) *program {
	r.t.Helper()
	addr, release, err := faultproxy.HeldAddr()
	require.NoError(r.t, err)
	r.t.Cleanup(func() { require.NoError(r.t, release()) })
	p := &program{t: r.t, cmd: r.command(name, append([]string{"-addr", addr}, args...)...)}
	out, err := p.cmd.StderrPipe()
	require.NoError(r.t, err)
	p.out = bufio.NewReader(out)
	require.NoError(r.t, p.cmd.Start())
	r.t.Cleanup(p.kill)
	var ok bool
	_, p.addr, ok = strings.Cut(p.line(), "serving on ")
	require.True(r.t, ok)
	return p
}

// line is the next line that the program prints.
func (p *program) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(p.t, err)
	return strings.TrimSpace(line)
}

// kill ends the program, unless it has ended.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that the process was killed, or that this has been called
}

// terminate is kill without -9. It returns the last line that the program prints.
func (p *program) terminate() string {
	p.t.Helper()
	if runtime.GOOS == "windows" {
		p.t.Skip("no SIGTERM on Windows")
	}
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	last := p.line()
	require.NoError(p.t, p.cmd.Wait())
	return last
}

// TestThePageShowsEachChange holds that a reader who follows the page has the
// programs of each step: each line that a step adds is in its section, and each
// package that it imports is named there.
func TestThePageShowsEachChange(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	require.NoError(t, err)
	sections := strings.Split(string(page), "\n## ")
	before := map[string]string{}
	added := 0
	for step := 1; step <= 7; step++ {
		for _, name := range []string{"server", "client"} {
			source, err := os.ReadFile(fmt.Sprintf("step%d/%s/main.go", step, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			require.NoError(t, err)
			for line := range strings.Lines(string(source)) {
				line = strings.TrimSpace(line)
				if strings.Contains(before[name], line) || strings.HasPrefix(line, "// Command ") {
					continue
				}
				added++
				if path, ok := strings.CutPrefix(line, `"`); ok {
					line = strings.TrimSuffix(path, `"`) // an import
				}
				require.True(t, strings.Contains(sections[step], line), "step %d, %s: the page does not show %s", step, name, line)
			}
			before[name] = string(source)
		}
	}
	require.Greater(t, added, 150)
}
