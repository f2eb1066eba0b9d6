package contain_test

import (
	"bytes"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCall(t *testing.T) {
	called := false
	require.NoError(t, contain.Call("f", func() { called = true }))
	require.True(t, called)

	err := contain.Call("Config.F", func() { panic(io.EOF) })
	require.EqualError(t, err, "panic in Config.F: EOF")
	require.ErrorIs(t, err, io.EOF)
	var p *contain.PanicError
	require.ErrorAs(t, err, &p)
	require.Contains(t, string(p.Stack), "TestCall")
	require.NoError(t, (&contain.PanicError{Value: 7}).Unwrap())
}

// A function that ends its goroutine ends it, and is no panic.
func TestCallOfAFunctionThatEndsItsGoroutine(t *testing.T) {
	went := make(chan bool, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = contain.Call("f", runtime.Goexit)
		went <- true
	}()
	<-done
	require.Empty(t, went)
}

// TestLog: one line a second at most, and the next one says how many are missing.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		old := slog.Default()
		defer slog.SetDefault(old)
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		for range 10 {
			contain.Log("Hook.AfterEnd", func() { panic("oh") })
		}
		contain.Log("Hook.AfterEnd", func() {})
		time.Sleep(time.Second)
		contain.Log("Hook.AfterEnd", func() { panic("again") })
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 2)
		require.Contains(t, lines[0], "panic in Hook.AfterEnd: oh")
		require.Contains(t, lines[1], `"not logged before"=9`)
	})
}
