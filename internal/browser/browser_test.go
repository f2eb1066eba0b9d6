package browser_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for the browser.
const patience = 60 * time.Second

// program is a program under load that has a page.
type program struct {
	page *debugpage.Page
	url  string
	addr string // of its first server
}

// newProgram starts one: two servers, an exclusive client of both and of a
// third that is not there, a shared client, and a client that reaches nothing.
func newProgram(t *testing.T) *program {
	p := &program{page: &debugpage.Page{
		Title: "shop", AllowChanges: func(*http.Request) bool { return true }, MaxRows: 20, SlowCall: 15 * time.Millisecond,
	}}
	var addrs []string
	for _, name := range []string{"api-1", "api-2"} {
		addrs = append(addrs, p.serve(t, name))
	}
	p.addr = addrs[0]
	hooks := pool.Config{Hooks: p.page.Hooks("orders"), MaxConns: 3}
	orders := gtcp.NewClient("orders", gtcp.ClientConfig{
		Resolver: resolve.Addrs(append(addrs, "127.0.0.1:9")...), Hooks: p.page.Hooks("orders"), Pool: hooks,
	})
	search := gtcp.NewClient(addrs[0], gtcp.ClientConfig{
		Shared: true, Hooks: p.page.Hooks("search"), Pipeline: pipeline.Config{MaxConns: 2, Hooks: p.page.Hooks("search")},
	})
	billing := gtcp.NewClient("127.0.0.1:1", gtcp.ClientConfig{
		Hooks: p.page.Hooks("billing"), Pool: pool.Config{Hooks: p.page.Hooks("billing")},
	})
	p.page.AddClient("orders", orders)
	p.page.AddClient("search", search)
	p.page.AddClient("billing", billing)

	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for client, n := range map[*gtcp.Client]int{orders: 5, search: 12, billing: 1} {
		for i := range n {
			callers.Go(func() { call(ctx, client, time.Duration(5+i)*time.Millisecond) })
		}
	}
	t.Cleanup(func() {
		cancel()
		callers.Wait()
		for _, c := range []*gtcp.Client{orders, search, billing} {
			_ = c.Close()
		}
	})
	web := httptest.NewServer(p.page)
	t.Cleanup(web.Close)
	p.url = web.URL
	return p
}

// call calls until ctx ends, with pauses.
func call(ctx context.Context, c *gtcp.Client, pause time.Duration) {
	for ctx.Err() == nil {
		_, _ = c.Call(ctx, []byte("order 4711"))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// serve starts a server that takes longer for every hundredth request.
func (p *program) serve(t *testing.T, name string) (addr string) {
	var mu sync.Mutex // guards n
	n := 0
	srv := &server.Server{
		Logger: slog.New(slog.DiscardHandler), Hooks: p.page.Hooks(name),
		Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			mu.Lock()
			n++
			slow := n%100 == 0
			mu.Unlock()
			if slow {
				time.Sleep(20 * time.Millisecond)
			}
			return append(req, " done"...), nil
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		_ = srv.Shutdown(context.Background())
	})
	p.page.AddServer(name, srv)
	return l.Addr().String()
}

// chromium finds the browser, or skips the test.
func chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("Chromium is not installed: no chromium, chromium-browser, google-chrome or chrome in PATH")
	return ""
}

// tab is a tab of a browser.
type tab struct {
	*testing.T
	ctx context.Context
}

// newTab starts a browser. Whatever it complains about fails the test.
func newTab(t *testing.T) *tab {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.WSURLReadTimeout(patience))
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		cancelAlloc()
	})
	require.NoError(t, chromedp.Do(ctx))

	var mu sync.Mutex // guards problems
	var problems []string
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			problems = append(problems, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				problems = append(problems, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		require.Empty(t, problems)
	})
	return &tab{t, ctx}
}

// do runs actions, each of which must succeed.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	for _, a := range actions {
		run(b, a)
	}
}

// run runs an action that has a value.
func run[T any](b *tab, a chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	require.NoError(b, err)
	return value
}

// command runs a command of the browser's protocol.
func command[P, R any](b *tab, cmd cdp.Command[P, R], params P) R {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, cmd, params)
	require.NoError(b, err)
	return result
}

// eval runs an expression of JavaScript.
func eval[T any](b *tab, js string) T {
	b.Helper()
	return run(b, chromedp.Evaluate[T](js))
}

// until waits for an expression to be true.
func (b *tab) until(js string) {
	b.Helper()
	require.Eventually(b, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](js))
		return err == nil && ok
	}, patience, 50*time.Millisecond, js)
}

// see opens the page in a window of this size.
func (b *tab) see(url string, width, height int64, scheme string) {
	b.Helper()
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("#conns-table table")))
}

// picture saves a picture of the window, where pictures are wanted.
func (b *tab) picture(name string) {
	if folder := os.Getenv("GTCP_SCREENSHOTS"); folder != "" {
		png := run(b, chromedp.CaptureScreenshot())
		require.NoError(b, os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644))
	}
}
