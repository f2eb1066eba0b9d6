package debugpage_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

// hook is the value of Page.Hooks as an interface of a hook.
func hook[T any](t *testing.T, p *debugpage.Page, name string) T {
	all := p.Hooks(name)
	require.Len(t, all, 1)
	h, ok := all[0].(T)
	require.True(t, ok)
	return h
}

// refused is an error of a kind.
type kindly struct{ kind, text string }

func (k kindly) Error() string { return k.text }
func (k kindly) Kind() string  { return k.kind }

func TestErrorsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &debugpage.Page{MaxEvents: 3}
		dials := hook[conn.DialHook](t, p, "orders")
		fail := func(addr, text string) {
			dials.AfterDial(t.Context(), conn.DialEvent{Addr: addr, Duration: time.Second, Err: kindly{conn.KindRefused, text}})
			time.Sleep(time.Second)
		}
		fail("a", "first")
		fail("b", "other")
		fail("a", "second")
		got := tables(t, p, "")["errors"]
		require.Equal(t, 2, got.Total)
		require.Equal(t, map[string]any{
			"last": 1.0, "first": 3.0, "count": 2.0, "name": "orders", "what": "dial", "addr": "a", "kind": "refused",
			"text": "second", "took": 1.0, "note": "",
		}, got.Rows[0], "those that are alike are one, with the last text")
		require.Equal(t, "other", got.Rows[1]["text"])

		dials.AfterDial(t.Context(), conn.DialEvent{Addr: "a"})
		fail("c", "c")
		fail("d", "d")
		require.Equal(t, []any{"d", "c", "a"}, column(tables(t, p, "")["errors"], "addr"), "the one not seen for longest is forgotten")
		for i := range 1000 {
			fail(strconv.Itoa(i), "storm")
		}
		require.Equal(t, 3, tables(t, p, "")["errors"].Total)
	})
}

// What an error of the application says can be a part of a request.
func TestErrorTexts(t *testing.T) {
	secret := errors.New("no such card: 4111 1111")
	for name, c := range map[string]struct {
		err  error
		text func(error) string
		want string
	}{
		"plain":             {kindly{conn.KindRefused, "connection refused"}, nil, "connection refused"},
		"of an application": {kindly{conn.KindApplication, "card 4111"}, nil, "debugpage_test.kindly"},
		"wrapped":           {fmt.Errorf("call: %w", kindly{conn.KindApplication, "card 4111"}), nil, "*fmt.wrapError"},
		"many lines":        {errors.New("a\nb\tc\x00"), nil, "a b c·"},
		"as long as it may": {errors.New(strings.Repeat("é", 400)), nil, strings.Repeat("é", 400)},
		"long":              {errors.New(strings.Repeat("é", 1000)), nil, strings.Repeat("é", 400) + "…"},
		"that panics":       {panics{}, nil, "debugpage_test.panics, whose text cannot be had"},
		"nil pointer":       {(*pool.Error)(nil), nil, "*pool.Error, whose text cannot be had"},
		"own text":          {secret, func(error) string { return "hidden" }, "hidden"},
		"own text panics":   {secret, func(error) string { panic("x") }, "*errors.errorString, whose text cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &debugpage.Page{ErrorText: c.text}
			if name == "nil pointer" {
				p.AddPool("x", &fakePool{stat: func() pool.Stat { return pool.Stat{LastDialError: c.err} }})
				require.Equal(t, []any{c.want}, column(tables(t, p, "")["pools"], "dialError"))
				return
			}
			hook[conn.DialHook](t, p, "x").AfterDial(t.Context(), conn.DialEvent{Err: c.err})
			require.Equal(t, []any{c.want}, column(tables(t, p, "")["errors"], "text"))
		})
	}
}

type panics struct{}

func (panics) Error() string { panic("no text") }

func TestHandlersErrorsAreNotShown(t *testing.T) {
	p := &debugpage.Page{SlowCall: time.Nanosecond}
	srv := &server.Server{Hooks: p.Hooks("api"), Handler: &server.FrameHandler{
		Handle: func(_ context.Context, req []byte) ([]byte, error) {
			switch string(req) {
			case "fail":
				return nil, errors.New("secret of fail")
			case "panic":
				panic("secret of panic")
			}
			return req, nil
		},
		ErrorReply: func(context.Context, error) []byte { return []byte("E") },
	}}
	addr := serve(t, srv)
	for _, request := range []string{"fail", "panic", "4711-works"} {
		c := gtcp.NewClient(addr, gtcp.ClientConfig{})
		_, err := c.Call(t.Context(), []byte(request))
		require.Equal(t, request == "panic", err != nil)
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { return tables(t, p, "")["slow"].Total == 3 }, 10*time.Second, time.Millisecond)
	all := tables(t, p, "?errors.sort=note")
	require.Equal(t, []any{"", "panic of type string; connection 2", "the handler panicked"}, column(all["errors"], "note"))
	require.Equal(t, "*errors.errorString", all["errors"].Rows[0]["text"])
	require.Equal(t, []any{"127.0.0.1", "", "127.0.0.1"}, column(all["errors"], "addr"))
	require.Equal(t, []any{"other", "panic", "panic"}, column(all["errors"], "kind"))
	require.ElementsMatch(t, []any{"other", "panic", "success"}, column(all["slow"], "kind"))
	for _, text := range []string{page(t, p, ""), p.String()} {
		hasNot(t, text, "secret")
		hasNot(t, text, "4711-works")
	}
}

func TestClientsErrors(t *testing.T) {
	p := &debugpage.Page{}
	addr, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	once := retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)}
	for _, shared := range []bool{false, true} {
		name := "exclusive"
		if shared {
			name = "shared"
		}
		c := gtcp.NewClient(addr, gtcp.ClientConfig{
			Shared: shared, Retry: once, Hooks: p.Hooks(name),
			Pool: pool.Config{Hooks: p.Hooks(name)}, Pipeline: pipeline.Config{Hooks: p.Hooks(name)},
		})
		for range 2 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.Error(t, err)
		}
		require.NoError(t, c.Close())
		got := tables(t, p, "?errors.sort=what&errors.filter="+name)["errors"]
		require.Equal(t, []any{"call", "dial"}, column(got, "what"), "not also what the call did inside")
		require.Equal(t, 2.0, got.Rows[0]["count"])
		require.Equal(t, "2 attempts", got.Rows[0]["note"])
		for _, r := range got.Rows {
			require.Equal(t, "refused", r["kind"])
			require.Equal(t, addr, r["addr"])
		}
	}
}

// The pools behind NewPoolConn tell too.
func TestNewPoolConnsErrors(t *testing.T) {
	addr, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	p := &debugpage.Page{}
	defer p.AddNewPoolConn()()
	require.NoError(t, gtcp.ConfigurePools(gtcp.PoolOptions{Hooks: p.Hooks("old code")}, addr))
	_, err = gtcp.NewPoolConn(addr)
	require.Error(t, err)
	all := tables(t, p, "?errors.sort=what&pools.filter="+addr)
	require.Equal(t, []any{"checkout", "dial"}, column(all["errors"], "what"))
	require.Equal(t, []any{"refused", "refused"}, column(all["errors"], "kind"))
	require.Equal(t, []any{1.0}, column(all["pools"], "dialErrors"))
}

// A retry that works is not an error of the call, but of the server.
func TestRetriesAreShown(t *testing.T) {
	p := &debugpage.Page{}
	srv := &server.Server{}
	c := gtcp.NewClient(serve(t, srv), gtcp.ClientConfig{
		Hooks: p.Hooks("orders"), Retry: retry.Policy{Idempotent: true, Backoff: retry.Constant(0)},
		InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
			var once sync.Once
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				var err error
				once.Do(func() { err = io.ErrUnexpectedEOF })
				if err != nil {
					return dst, err
				}
				return next(ctx, dst, request)
			}
		},
	})
	defer c.Close()
	_, err := c.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	got := tables(t, p, "")["errors"]
	require.Equal(t, []any{"attempt, retried"}, column(got, "what"))
	require.Equal(t, "the call succeeded after 2 attempts", got.Rows[0]["note"])
}

func TestPoolsErrors(t *testing.T) {
	p := &debugpage.Page{SlowCall: time.Second}
	ctx := t.Context()
	gets, evicts := hook[pool.GetHook](t, p, "pool"), hook[pool.EvictHook](t, p, "pool")
	gets.AfterGet(ctx, pool.GetEvent{Addr: "a", Duration: 2 * time.Second, Err: pool.ErrTooManyWaiters})
	gets.AfterGet(ctx, pool.GetEvent{Addr: "b", Duration: time.Millisecond})
	for r := range pool.PoolClosed + 1 {
		evicts.AfterEvict(pool.EvictEvent{Addr: r.String(), ID: 7, Reason: r, Age: time.Minute})
	}
	calls, ends := hook[pipeline.CallHook](t, p, "pipe"), hook[pipeline.EndHook](t, p, "pipe")
	calls.AfterCall(ctx, pipeline.CallEvent{Addr: "name", Peer: "peer", Phases: conn.Phases{Acquired: time.Second, Written: time.Second}, Duration: 3 * time.Second, Err: pipeline.ErrStalled})
	calls.AfterCall(ctx, pipeline.CallEvent{Addr: "name", Err: pipeline.ErrOverloaded})
	for r := range pipeline.Evicted + 1 {
		ends.AfterEnd(pipeline.EndEvent{Addr: r.String(), Reason: r})
	}
	hook[server.AcceptErrorHook](t, p, "srv").AfterAcceptError(named(":80"), errors.New("no files"))
	hook[server.AcceptErrorHook](t, p, "srv").AfterAcceptError(nil, errors.New("no files"))
	requests := hook[server.RequestHook](t, p, "srv")
	requests.AfterRequest(ctx, server.RequestEvent{Peer: named("1.2.3.4:5"), Err: server.ErrOverloaded, Refused: true, QueueTime: time.Minute})
	requests.AfterRequest(ctx, server.RequestEvent{Peer: named("unix"), Err: server.ErrNoReply, HandleTime: time.Minute})
	requests.AfterRequest(ctx, server.RequestEvent{Err: errors.New("x"), HandleTime: time.Millisecond})

	all := tables(t, p, "?slow.sort=addr&errors.sort=addr")
	var ended, others []any
	for _, r := range all["errors"].Rows {
		if r["what"] == "connection" {
			ended = append(ended, r["addr"])
			continue
		}
		others = append(others, r["name"].(string)+" "+r["what"].(string)+" "+r["addr"].(string)+" "+r["note"].(string))
	}
	require.ElementsMatch(t, []any{
		"dead", "dirty", "peer closed", "broken", "timed out", "suspect",
		"broken", "closed by peer", "protocol violated", "stalled",
	}, ended, "what ended in peace is no error")
	require.ElementsMatch(t, []any{
		"pool checkout a ", "pipe call peer ", "pipe call name ", "srv accept :80 ", "srv accept  ",
		"srv request 1.2.3.4 refused before the handler", "srv request  no reply was written",
	}, others)
	require.Equal(t, []any{"1.2.3.4:5", "a", "peer", "unix"}, column(all["slow"], "addr"))
	require.Equal(t, []any{"overloaded", "overloaded", "timeout", "success"}, column(all["slow"], "kind"))
	require.Equal(t, map[string]any{"wait": 1.0, "reply": 2.0}, all["slow"].Rows[2]["phases"])
	has(t, page(t, p, ""), "wait 1.0 s · reply 2.0 s")
}

func TestSlowCalls(t *testing.T) {
	for _, shared := range []bool{false, true} {
		p := &debugpage.Page{MaxEvents: 5, SlowCall: 20 * time.Millisecond}
		srv := &server.Server{Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			if string(req) == "slow" {
				time.Sleep(25 * time.Millisecond)
			}
			return []byte("reply"), nil
		})}
		addr := serve(t, srv)
		hooks := p.Hooks("orders")
		c := gtcp.NewClient(addr, gtcp.ClientConfig{Shared: shared, Hooks: hooks, Pool: pool.Config{Hooks: hooks}, Pipeline: pipeline.Config{Hooks: hooks}})
		for range 7 {
			_, err := c.Call(t.Context(), []byte("slow"))
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
		got := tables(t, p, "")["slow"]
		require.Equal(t, 5, got.Total, "the last ones")
		for _, r := range got.Rows {
			require.Equal(t, "call", r["what"])
			require.Equal(t, addr, r["addr"])
			require.Equal(t, "success", r["kind"])
			require.Equal(t, 1.0, r["attempts"])
			require.Equal(t, []any{4.0, 5.0}, []any{r["out"], r["in"]})
			require.GreaterOrEqual(t, r["took"], 0.025)
			phases := r["phases"].(map[string]any)
			require.GreaterOrEqual(t, phases["reply"], 0.024, "the server took the time")
			sum := 0.0
			for _, v := range phases {
				sum += v.(float64)
			}
			require.InDelta(t, r["took"], sum, 0.02, phases)
		}
	}

	none := &debugpage.Page{SlowCall: -1}
	hook[pipeline.CallHook](t, none, "x").AfterCall(t.Context(), pipeline.CallEvent{Duration: time.Hour})
	require.Zero(t, tables(t, none, "")["slow"].Total)
	has(t, page(t, none, ""), "no call is listed")
}

// A burst of slow calls hides no other, and small phases are not shown.
func TestSlowCallsOfEachName(t *testing.T) {
	p := &debugpage.Page{MaxEvents: 3}
	call := func(name string, took time.Duration) {
		hook[pipeline.CallHook](t, p, name).AfterCall(t.Context(), pipeline.CallEvent{
			Phases: conn.Phases{Acquired: time.Millisecond, Written: 2 * time.Millisecond, FirstByte: took}, Duration: took,
		})
	}
	call("rare", time.Second)
	for i := range 10 {
		call("busy", time.Second+time.Duration(i))
	}
	got := tables(t, p, "?slow.sort=name")["slow"]
	slices.SortFunc(got.Rows, func(a, b map[string]any) int { return cmp.Compare(b["took"].(float64), a["took"].(float64)) })
	slices.Reverse(got.Rows[:3])
	require.Equal(t, []any{"busy", "busy", "busy", "rare"}, column(got, "name"))
	require.Equal(t, []any{1.000000007, 1.000000008, 1.000000009}, []any{got.Rows[0]["took"], got.Rows[1]["took"], got.Rows[2]["took"]}, "the last ones")
	require.Equal(t, map[string]any{"wait": 0.001, "send": 0.001, "reply": 0.998}, got.Rows[3]["phases"])
	has(t, page(t, p, ""), `class="prose">reply 998 ms<`)
}

// The phases of a call add up to its time, however far it got.
func TestPhases(t *testing.T) {
	const ms = time.Millisecond
	p := &debugpage.Page{SlowCall: ms}
	calls := hook[interface {
		gtcp.CallHook
		gtcp.AttemptHook
	}](t, p, "x")
	for _, c := range []struct {
		phases conn.Phases
		others time.Duration
		want   map[string]any
	}{
		{conn.Phases{}, 0, map[string]any{"wait": 0.1}},
		{conn.Phases{Acquired: 10 * ms}, 0, map[string]any{"wait": 0.01, "send": 0.09}},
		{conn.Phases{Acquired: 10 * ms, Dialed: 4 * ms, Written: 20 * ms}, 0, map[string]any{"wait": 0.006, "dial": 0.004, "send": 0.01, "reply": 0.08}},
		{conn.Phases{Acquired: 10 * ms, Written: 20 * ms, FirstByte: 90 * ms}, 0, map[string]any{"wait": 0.01, "send": 0.01, "reply": 0.07, "read": 0.01}},
		{conn.Phases{Written: 20 * ms, FirstByte: 100 * ms}, 50 * ms, map[string]any{"send": 0.02, "reply": 0.08, "retries": 0.05}},
	} {
		ctx := calls.StartCall(t.Context(), gtcp.CallStart{})
		attempts := 1
		if c.others > 0 {
			attempts = 2
			calls.EndAttempt(calls.StartAttempt(ctx, gtcp.AttemptStart{}), gtcp.AttemptEnd{Duration: c.others / 2})
		}
		calls.EndAttempt(calls.StartAttempt(ctx, gtcp.AttemptStart{}), gtcp.AttemptEnd{Phases: c.phases, Duration: 100 * ms})
		calls.EndCall(ctx, gtcp.CallEnd{Duration: 100*ms + c.others, Attempts: attempts})
		rows := tables(t, p, "")["slow"].Rows
		require.Equal(t, c.want, rows[len(rows)-1]["phases"])
		p = &debugpage.Page{SlowCall: ms}
		calls = hook[interface {
			gtcp.CallHook
			gtcp.AttemptHook
		}](t, p, "x")
	}
}

// Hooks run on the goroutines of calls, and a page is read meanwhile.
func TestHooksRace(t *testing.T) {
	p := &debugpage.Page{SlowCall: time.Nanosecond, MaxEvents: 4}
	var wg sync.WaitGroup
	for i := range 4 {
		h := hook[interface {
			gtcp.CallHook
			gtcp.AttemptHook
			conn.DialHook
		}](t, p, strconv.Itoa(i))
		wg.Go(func() {
			for n := range 500 {
				ctx := h.StartCall(t.Context(), gtcp.CallStart{})
				var hedged sync.WaitGroup
				for range 2 {
					hedged.Go(func() {
						h.EndAttempt(h.StartAttempt(ctx, gtcp.AttemptStart{}), gtcp.AttemptEnd{Addr: strconv.Itoa(n), Duration: 1, Err: net.ErrClosed})
					})
				}
				hedged.Wait()
				h.EndCall(ctx, gtcp.CallEnd{Duration: 2})
				h.AfterDial(ctx, conn.DialEvent{Err: net.ErrClosed})
			}
		})
	}
	for range 20 {
		_ = tables(t, p, "")
	}
	wg.Wait()
	require.Equal(t, 4, tables(t, p, "")["errors"].Total)
}
