package pipeline_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestConfigValidate(t *testing.T) {
	target := conn.Target{Address: "localhost:1"}
	for _, c := range []struct {
		field string
		cfg   func(c *pipeline.Config)
	}{
		{"", func(*pipeline.Config) {}},
		{"", func(c *pipeline.Config) { c.DialTimeout, c.StallTimeout, c.DialBackoff.After = -1, -1, -1 }},
		{"", func(c *pipeline.Config) { c.DialBackoff.Min = time.Hour }},
		{"", func(c *pipeline.Config) { c.Hooks = []any{&recorder{}, &recorder{}} }},
		{"MaxConns", func(c *pipeline.Config) { c.MaxConns = -1 }},
		{"MaxInFlight", func(c *pipeline.Config) { c.MaxInFlight = -1 }},
		{"DialBackoff", func(c *pipeline.Config) { c.DialBackoff.Max = -1 }},
		{"DialBackoff", func(c *pipeline.Config) { c.DialBackoff.Max = 1 }},
		{"Hooks", func(c *pipeline.Config) { c.Hooks = []any{&recorder{}, 1} }},
	} {
		var cfg pipeline.Config
		c.cfg(&cfg)
		err := cfg.Validate()
		_, newErr := pipeline.New(target, framing.Format{}, cfg)
		require.Equal(t, err, newErr)
		if c.field == "" {
			require.NoError(t, err)
			continue
		}
		var e *pipeline.ConfigError
		require.ErrorAs(t, err, &e, "%s", c.field)
		require.Equal(t, c.field, e.Field)
		require.ErrorContains(t, err, "Config."+c.field)
		require.False(t, e.SafeToRetry())
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := conn.Target{Address: "localhost:1"}
	_, err := pipeline.New(conn.Target{}, framing.Format{}, pipeline.Config{})
	var ofTarget *conn.ConfigError
	require.ErrorAs(t, err, &ofTarget)
	require.Equal(t, "Target.Address", ofTarget.Field)
	_, err = pipeline.New(good, framing.Format{HeaderSize: 5}, pipeline.Config{})
	var ofFormat *framing.FormatError
	require.ErrorAs(t, err, &ofFormat)
	_, err = pipeline.New(good, framing.Format{LengthOffset: 4}, pipeline.Config{}) // drops what the sender knows
	require.ErrorIs(t, err, framing.ErrReadOnly)
	_, err = pipeline.New(good, framing.Format{}, pipeline.Config{DialBackoff: conn.DialBackoff{Min: -1}})
	require.ErrorAs(t, err, &ofTarget, "a ConfigError unwraps to its cause")
}

// recorder is a hook that keeps what it is told.
type recorder struct {
	mu    sync.Mutex
	calls []pipeline.CallEvent
	dials []conn.DialEvent
	ends  []pipeline.EndEvent
	asker string // of the last dial
}

type askerKey struct{}

func (r *recorder) AfterCall(_ context.Context, e pipeline.CallEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, e)
}

func (r *recorder) AfterDial(ctx context.Context, e conn.DialEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dials = append(r.dials, e)
	r.asker, _ = ctx.Value(askerKey{}).(string)
}

func (r *recorder) AfterEnd(e pipeline.EndEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = append(r.ends, e)
}

func TestHook(t *testing.T) {
	r, second := &recorder{}, &recorder{}
	setup{name: "name", cfg: pipeline.Config{Hooks: []any{r, second}}}.run(t, func(b *bubble) {
		start := time.Now()
		ctx := context.WithValue(bg, askerKey{}, "the first call")
		o := b.call(ctx, "request")
		p := b.accept()
		p.asked("request")
		require.Equal(b, "the first call", r.asker)
		time.Sleep(time.Second)
		p.answer("reply")
		o.replied("reply")
		quiet()
		p.raw([]byte{0})
		synctest.Wait()
		require.Equal(b, []pipeline.CallEvent{{Addr: "name", Start: start, Duration: time.Second}}, r.calls)
		require.Equal(b, []conn.DialEvent{{Addr: "name", Peer: memnet.Addr("peer"), ID: 1, Start: start}}, r.dials)
		require.Equal(b, []pipeline.EndEvent{{
			Addr: "peer", ID: 1, Reason: pipeline.Protocol, Cause: pipeline.ErrUnsolicited, Replies: 1,
		}}, r.ends)
		require.Equal(b, r, second)
	})
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := pipeline.Reason(0); r <= pipeline.Closed+1; r++ {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()])
		seen[r.String()] = true
	}
	require.Equal(t, uint64(15), pipeline.Ends{pipeline.PeerClosed: 1, pipeline.Broken: 2, pipeline.Closed: 12}.Total())
}

func TestErrorText(t *testing.T) {
	e := &pipeline.Error{Op: "call", Addr: "peer:1", Written: true, Err: context.DeadlineExceeded}
	require.Equal(t, "pipeline: call peer:1 (request written): context deadline exceeded", e.Error())
	require.True(t, e.Timeout())
	require.True(t, e.Temporary())
}
