package pipeline_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestConfigValidate(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, nil }
	good := pipeline.Config{Address: "localhost:1"}
	for _, c := range []struct {
		field string
		cfg   func(c *pipeline.Config)
	}{
		{"", func(*pipeline.Config) {}},
		{"", func(c *pipeline.Config) { c.Address, c.Dial = "", dial }},
		{"", func(c *pipeline.Config) { c.Network, c.Address = "unix", "/tmp/socket" }},
		{"", func(c *pipeline.Config) { c.DialTimeout, c.StallTimeout, c.DialBackoff.Min = -1, -1, -1 }},
		{"", func(c *pipeline.Config) { c.DialBackoff.Min = time.Hour }},
		{"", func(c *pipeline.Config) { c.Hook = &recorder{} }},
		{"Address", func(c *pipeline.Config) { c.Address = "" }},
		{"Address", func(c *pipeline.Config) { c.Address = "no port" }},
		{"Dialer", func(c *pipeline.Config) { c.Dialer, c.Dial = &conn.Dialer{}, dial }},
		{"Dialer", func(c *pipeline.Config) { c.Dialer = &conn.Dialer{LocalAddr: &net.UDPAddr{}} }},
		{"Format", func(c *pipeline.Config) { c.Format.HeaderSize = 5 }},
		{"Format", func(c *pipeline.Config) { c.Format.LengthOffset = 4 }}, // drops what the sender knows
		{"MaxConns", func(c *pipeline.Config) { c.MaxConns = -1 }},
		{"MaxInFlight", func(c *pipeline.Config) { c.MaxInFlight = -1 }},
		{"DialBackoff.Max", func(c *pipeline.Config) { c.DialBackoff.Max = -1 }},
		{"DialBackoff.Max", func(c *pipeline.Config) { c.DialBackoff.Max = 1 }},
		{"Hook", func(c *pipeline.Config) { c.Hook = 1 }},
	} {
		cfg := good
		c.cfg(&cfg)
		err := cfg.Validate()
		_, newErr := pipeline.New(cfg)
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

func TestConfigErrorUnwraps(t *testing.T) {
	var e *framing.FormatError
	require.ErrorAs(t, pipeline.Config{Address: "a:1", Format: framing.Format{HeaderSize: 5}}.Validate(), &e)
}

// recorder is a hook that keeps what it is told.
type recorder struct {
	mu    sync.Mutex
	calls []pipeline.CallEvent
	dials []pipeline.DialEvent
	ends  []pipeline.EndEvent
	asker string // of the last dial
}

type askerKey struct{}

func (r *recorder) AfterCall(_ context.Context, e pipeline.CallEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, e)
}

func (r *recorder) AfterDial(ctx context.Context, e pipeline.DialEvent) {
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
	r := &recorder{}
	inBubble(t, pipeline.Config{Address: "name", Hook: r}, func(b *bubble) {
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
		require.Equal(b, []pipeline.DialEvent{{Addr: "name", Start: start}}, r.dials)
		require.Equal(b, []pipeline.EndEvent{{
			Addr: "peer", Reason: pipeline.Protocol, Cause: pipeline.ErrUnsolicited, Replies: 1,
		}}, r.ends)
	})
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := pipeline.Reason(0); r <= pipeline.Closed+1; r++ {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()])
		seen[r.String()] = true
	}
	require.Equal(t, uint64(15), pipeline.Ends{PeerClosed: 1, Broken: 2, Protocol: 3, Stalled: 4, Closed: 5}.Total())
}

func TestErrorText(t *testing.T) {
	e := &pipeline.Error{Op: "call", Addr: "peer:1", Written: true, Err: context.DeadlineExceeded}
	require.Equal(t, "pipeline: call peer:1 (request written): context deadline exceeded", e.Error())
	require.True(t, e.Timeout())
	require.True(t, e.Temporary())
}
