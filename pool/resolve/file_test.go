package resolve_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// replace writes the file as the documentation asks.
func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestFile(t *testing.T) {
	bubble(t, "replaced", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "servers.json")
		replace(t, path, `["b:1", {"addr":"a:1","weight":3,"zone":"z","priority":2,"meta":{"k":"v"}}]`)
		w := watch(t, &resolve.File{Path: path})
		require.Equal(t, [][]resolve.Endpoint{{
			{Network: "tcp", Addr: "a:1", Weight: 3, Zone: "z", Priority: 2, Meta: map[string]string{"k": "v"}},
			{Network: "tcp", Addr: "b:1", Weight: 1},
		}}, w.sets())
		replace(t, path, `["c:1","d:1"]`)
		pass(time.Second)
		require.Equal(t, []string{"c:1", "d:1"}, w.last())
		pass(time.Minute)
		require.Len(t, w.sets(), 2)
		require.Empty(t, w.errs())
	})
	bubble(t, "missing at first, torn, removed", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "servers.json")
		w := watch(t, &resolve.File{Path: path})
		require.ErrorIs(t, w.errs()[0], fs.ErrNotExist)
		replace(t, path, `["a:1"]`)
		pass(time.Second)
		require.Equal(t, []string{"a:1"}, w.last())
		for i, text := range []string{"", `["a:1","b:`, `{}`, `["a:1"]x`, `[{"addr":"a:1","wait":1}]`, `[{}]`, `[""]`, `[1]`, `[{"addr":"a:1","weight":-1}]`} {
			before := len(w.errs())
			replace(t, path, text)
			require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(int64(i+1), 0)))
			pass(time.Second)
			require.Greater(t, len(w.errs()), before, text)
		}
		require.NoError(t, os.Remove(path))
		pass(time.Second)
		require.Len(t, w.sets(), 1, "no error changes the set")
		replace(t, path, `[]`)
		pass(time.Second)
		require.Len(t, w.sets(), 2, "an empty list is a set")
		require.Empty(t, w.last())
	})
	bubble(t, "replaced by a file of the same size and time", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "servers.json")
		at := time.Unix(1, 0)
		replace(t, path, `["a:1"]`)
		require.NoError(t, os.Chtimes(path, at, at))
		w := watch(t, &resolve.File{Path: path})
		require.Equal(t, []string{"a:1"}, w.last())
		pass(time.Minute)
		require.NoError(t, os.WriteFile(path+".new", []byte(`["b:1"]`), 0o600))
		require.NoError(t, os.Chtimes(path+".new", at, at))
		require.NoError(t, os.Rename(path+".new", path))
		pass(time.Second)
		require.Equal(t, []string{"b:1"}, w.last())
	})
	bubble(t, "its own format, and a bound", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "servers")
		replace(t, path, "a:1 b:1")
		f := &resolve.File{Path: path, MaxSize: 7, Interval: -1, Parse: func(data []byte) ([]resolve.Endpoint, error) {
			return resolve.Addrs(strings.Fields(string(data))...), nil
		}}
		w := watch(t, f)
		require.Equal(t, []string{"a:1", "b:1"}, w.last())
		replace(t, path, "a:1 b:1 c:1")
		pass(time.Hour)
		require.Len(t, w.sets(), 1)
		require.Empty(t, w.errs())
		f.Refresh()
		pass(10 * time.Millisecond)
		require.ErrorContains(t, w.errs()[0], "more than 7 bytes")
	})
}

// A second change within the resolution of the file system's clock must be seen.
func TestFileChangedTwiceAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers.json")
	require.NoError(t, os.WriteFile(path, []byte(`["a:1"]`), 0o600))
	at := time.Now()
	require.NoError(t, os.Chtimes(path, at, at))
	f := &resolve.File{Path: path, Interval: time.Millisecond}
	sets := make(chan []resolve.Endpoint)
	ended := make(chan error, 1)
	go func() {
		ended <- f.Watch(t.Context(), func(set []resolve.Endpoint, err error) {
			select {
			case sets <- set:
			case <-t.Context().Done():
			}
		})
	}()
	t.Cleanup(func() { <-ended })
	require.Equal(t, "a:1", (<-sets)[0].Addr)
	require.NoError(t, os.WriteFile(path, []byte(`["b:1"]`), 0o600))
	require.NoError(t, os.Chtimes(path, at, at))
	for set := range sets {
		if len(set) > 0 && set[0].Addr == "b:1" {
			break
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{`[]`, `["a:1"]`, `[{"addr":"a:1","weight":4294967295,"priority":-1}]`, `[null]`, `null`, `[{"addr":"a"}]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := resolve.ParseJSON(data)
		if err != nil {
			return
		}
		for _, e := range set {
			require.NotEmpty(t, e.Addr)
		}
		normal := resolve.Normalize(set)
		require.Equal(t, normal, resolve.Normalize(normal))
	})
}
