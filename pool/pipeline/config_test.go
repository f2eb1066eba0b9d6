package pipeline_test

import (
	"context"
	"net"
	"slices"
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
	setup{name: "name", cfg: pipeline.Config{MaxInFlight: 1, Hooks: []any{r, second, starter{}}}}.run(t, func(b *bubble) {
		start := time.Now()
		ctx := context.WithValue(bg, askerKey{}, "the first call")
		o := b.call(ctx, "request")
		p := b.accept()
		p.asked("request")
		require.Equal(b, "the first call, begun", r.asker)
		waits := b.call(bg, "waits")
		time.Sleep(time.Second / 2)
		p.reply("reply")
		o.replied("reply")
		p.asked("waits")
		time.Sleep(time.Second / 2)
		p.reply("second reply")
		waits.replied("second reply")
		quiet()
		p.raw([]byte{0})
		synctest.Wait()
		require.Equal(b, []pipeline.CallEvent{
			{Addr: "name", Peer: "peer", ID: 1, Start: start, Phases: conn.Phases{Acquired: 1, Written: 1, FirstByte: time.Second / 2},
				Duration: time.Second / 2, RequestBytes: 7, ReplyBytes: 5},
			{Addr: "name", Peer: "peer", ID: 1, Start: start,
				Phases:   conn.Phases{Acquired: time.Second / 2, Written: time.Second / 2, FirstByte: time.Second},
				Duration: time.Second, RequestBytes: 5, ReplyBytes: 12},
		}, r.calls)
		require.Equal(b, []conn.DialEvent{{Addr: "name", Peer: memnet.Addr("peer"), ID: 1, Start: start}}, r.dials)
		require.Equal(b, []pipeline.EndEvent{{
			Addr: "peer", ID: 1, Reason: pipeline.Protocol, Cause: pipeline.ErrUnsolicited, CreatedAt: start,
			Calls: 2, Replies: 2, BytesRead: 7 + 14 + 1, BytesWritten: 9 + 7,
		}}, r.ends)
		require.Equal(b, r.calls, second.calls)
		require.Equal(b, r.ends, second.ends)
		s := b.Stat()
		require.Equal(b, uint64(22), s.BytesRead)
		require.Equal(b, uint64(16), s.BytesWritten)
		require.Equal(b, time.Second/2, s.WaitTime)
	})
}

// starter gives each call a context of its own.
type starter struct{}

func (starter) BeforeCall(ctx context.Context, addr string) context.Context {
	asker, _ := ctx.Value(askerKey{}).(string)
	return context.WithValue(ctx, askerKey{}, asker+", begun")
}

// A hook that only begins calls is told of them too.
func TestStartHookAlone(t *testing.T) {
	asked := make(chan any, 1)
	cfg := pipeline.Config{Hooks: []any{starter{}}}
	inBubbleDialing(t, cfg, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		asked <- ctx.Value(askerKey{})
		return l.Dial(ctx)
	}, func(b *bubble) {
		b.exchange()
		require.Equal(b, ", begun", <-asked)
	})
}

func TestConns(t *testing.T) {
	inBubble(t, pipeline.Config{MaxConns: 2, MaxLifetime: time.Hour}, func(b *bubble) {
		start := time.Now()
		ctx, cancel := context.WithCancel(bg)
		first := b.call(ctx, "first")
		p := b.accept()
		p.asked("first")
		second := b.call(bg, "second")
		third := b.call(bg, "third")
		q := b.accept()
		cancel()
		first.failed(context.Canceled, true)
		conns := slices.Collect(b.Conns())
		require.Len(b, conns, 2)
		for i, c := range conns {
			require.Equal(b, uint64(i+1), c.ID)
			require.Equal(b, memnet.Addr("peer"), c.RemoteAddr)
			require.NotNil(b, c.LocalAddr)
			require.Equal(b, start, c.CreatedAt)
			require.Greater(b, c.ExpiresAt.Sub(start), 54*time.Minute-1)
			require.LessOrEqual(b, c.ExpiresAt.Sub(start), time.Hour)
			require.False(b, c.Leaving)
		}
		require.Equal(b, 3, conns[0].InFlight+conns[1].InFlight)
		require.Equal(b, 1, conns[0].Abandoned)
		require.Equal(b, uint64(3), conns[0].Calls+conns[1].Calls)
		time.Sleep(3 * time.Second)
		for c := range b.Conns() {
			require.True(b, c.Silent)
			require.Equal(b, time.Now(), c.LastUsed.Add(time.Since(c.LastUsed)))
			require.Less(b, time.Since(c.LastUsed), 2*time.Second)
			break // an iterator may be left
		}
		p.reply("late")
		for _, p := range []*peer{p, q} {
			go func() {
				for {
					if _, err := p.frames.Next(); err != nil {
						return
					}
					_, _ = p.Write([]byte{0, 1, 'x'})
				}
			}()
		}
		second.replied("x")
		third.replied("x")
		time.Sleep(2 * time.Second)
		total := b.Stat()
		var read, written uint64
		for c := range b.Conns() {
			require.False(b, c.Silent)
			require.Zero(b, c.InFlight)
			read, written = read+c.BytesRead, written+c.BytesWritten
		}
		require.Equal(b, read, total.BytesRead)
		require.Equal(b, written, total.BytesWritten)
		p.Close()
		quiet()
		require.Len(b, slices.Collect(b.Conns()), 1)
		require.Equal(b, read, b.Stat().BytesRead)
	})
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range pipeline.Evicted + 2 {
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
