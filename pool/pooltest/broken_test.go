package pooltest_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReference(t *testing.T) { pooltest.Run(t, openChan[*pooltest.Resource]) }

type (
	resource = pooltest.Resource
	factory  = backend.Factory[*resource]
	lease    = backend.Lease[*resource]
	pool     = backend.Backend[*resource]
	open     = backend.OpenFunc[*resource]
)

// wrong is a backend that breaks a promise, and the subtests that must tell.
type wrong struct {
	name  string
	cases []string
	open  open
}

// flawed is the reference with one of its flaws.
func flawed(flaw string, cases ...string) wrong {
	return wrong{flaw, cases, func(f factory, l backend.Limits) (pool, error) { return openFlawed(flaw, f, l) }}
}

// around is slotpool with something between it and the suite.
func around(name string, w func(f *factory, l *backend.Limits) func(pool) pool, cases ...string) wrong {
	return wrong{name, cases, func(f factory, l backend.Limits) (pool, error) {
		if err := errors.Join(f.Validate(), l.Validate()); err != nil {
			return nil, err
		}
		wrap := w(&f, &l)
		b, err := slotpool.Open(f, l)
		if err != nil || wrap == nil {
			return b, err
		}
		return wrap(b), nil
	}}
}

// making is slotpool with another New, closing with another Close.
func making(name string, n func(context.Context, factory) (*resource, error), cases ...string) wrong {
	return around(name, func(f *factory, _ *backend.Limits) func(pool) pool {
		real := *f
		f.New = func(ctx context.Context) (*resource, error) { return n(ctx, real) }
		return nil
	}, cases...)
}

func closing(name string, c func(int, *resource, factory), cases ...string) wrong {
	return around(name, func(f *factory, _ *backend.Limits) func(pool) pool {
		real := *f
		var mu sync.Mutex
		n := 0
		f.Close = func(r *resource) {
			mu.Lock()
			n++
			k := n
			mu.Unlock()
			c(k, r, real)
		}
		return nil
	}, cases...)
}

// wrapping is slotpool with some methods replaced.
func wrapping(name string, wrap func(pool) pool, cases ...string) wrong {
	return around(name, func(*factory, *backend.Limits) func(pool) pool { return wrap }, cases...)
}

var wrongs = []wrong{
	flawed("lost wakeup", "03 woken by a return", "04 first come", "model", "scenario great queue"),
	flawed("close wakes nobody", "09 close wakes waiters"),
	flawed("no epochs", "06 return twice", "06 return of another's", "model"),
	flawed("clear strands", "08 clear while dialing", "scenario failover"),
	flawed("clear lets dials hang", "08 clear while a dial hangs", "08 clear while a warming dial hangs", "model"),
	flawed("clear fails callers", "08 clear and the failure of a dial", "model"),
	flawed("room lost to errors", "07 New fails", "scenario server is away", "model"),
	flawed("room lost to panics", "07 New panics", "07 New exits"),
	flawed("cancelled dial wasted", "12 the dial of a cancelled caller"),
	flawed("served and cancelled", "scenario great queue"),
	wrapping("dials pile up", func(b pool) pool { return pilingPool{b} }, "12 the dial of a cancelled caller is taken over"),
	flawed("a sweep refuses callers", "sweep refuses nobody"),

	{"wakeup lost in a race", []string{"03 return at the moment", "stress"}, openOver[slowStore]},
	{"two owners", []string{"02 one owner", "stress"}, openOver[sharingStore]},
	{"forgetful sweep", []string{"sweep"}, openOver[blindStore]},
	{"sweep of the newest", []string{"sweep misses nothing"}, openOver[newestStore]},

	around("more than max", func(_ *factory, l *backend.Limits) func(pool) pool { l.Max++; return nil }, "01 max", "model", "stress"),
	around("any number of waiters", func(_ *factory, l *backend.Limits) func(pool) pool { l.MaxWaiters = 0; return nil }, "max waiters", "no waiters"),
	making("dial without a deadline", func(_ context.Context, f factory) (*resource, error) {
		return f.New(context.Background())
	}, "12 the context of a dial", "13 a dial times out"),
	making("cause of a failure lost", func(ctx context.Context, f factory) (*resource, error) {
		r, err := f.New(ctx)
		if err != nil {
			err = errors.New("cannot dial")
		}
		return r, err
	}, "07 New fails", "13 a dial fails", "scenario server is away"),
	closing("close forgets", func(n int, r *resource, f factory) {
		if n%3 != 0 {
			f.Close(r)
		}
	}, "09 close closes all", "stress"),
	closing("close twice", func(n int, r *resource, f factory) {
		f.Close(r)
		if n%3 == 0 {
			f.Close(r)
		}
	}, "09 close closes all", "stress"),
	around("return waits for close", waitForClose, "10 a slow close"),
	around("last in, first served", lastFirst, "04 first come"),
	around("newcomers overtake", overtaking, "04 no overtaking"),
	around("one lock for all", oneLock, "locks", "scenario failover"),
	around("a maximum where none is set", func(_ *factory, l *backend.Limits) func(pool) pool {
		if l.Max <= 0 {
			l.Max = 50
		}
		return nil
	}, "01 no max"),

	{"open refuses nothing", []string{"arguments"}, func(f factory, l backend.Limits) (pool, error) {
		if f.New == nil || f.Close == nil || l.DialTimeout < 0 {
			f, l = factory{New: func(context.Context) (*resource, error) { return nil, nil }, Close: func(*resource) {}}, backend.Limits{}
		}
		return slotpool.Open(f, l)
	}},
	wrapping("clear does nothing", func(b pool) pool { return deafPool{b} }, "08 clear idle", "08 clear in use", "model"),
	wrapping("hands to the dead", func(b pool) pool { return deadPool{b} }, "05 context ended before"),
	wrapping("stale returns accepted", func(b pool) pool { return trustingPool{b} }, "06 return twice", "stress"),
	wrapping("close does not wait", func(b pool) pool { return rudePool{b} }, "09 close drains"),
	wrapping("close leaves a goroutine", func(b pool) pool { return leakyPool{b} }, "09 close closes all"),
	wrapping("resize does nothing", func(b pool) pool { return stiffPool{b} }, "resize", "resize while dialing"),
	wrapping("resize closes what is idle", func(b pool) pool { return hastyPool{b} }, "resize while a warming dial hangs"),
	making("dials go on when given up", func(ctx context.Context, f factory) (*resource, error) {
		deadline, _ := ctx.Deadline()
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		return f.New(ctx)
	}, "08 clear while a dial hangs", "resize keeps what is open", "resize gives up the newest dials", "resize to and fro while dials hang"),
	wrapping("warm forgets what clear gave up", func(b pool) pool { return &forgetfulPool{pool: b} }, "warm and clear"),
	wrapping("warm loses the values", func(b pool) pool { return valuelessPool{b} }, "warm and the values of its context"),
	around("max is negative", func(_ *factory, l *backend.Limits) func(pool) pool {
		most := l.Max
		return func(b pool) pool { return negativePool{b, most} }
	}, "01 negative max"),
	wrapping("warm does nothing", func(b pool) pool { return coldPool{b} }, "warm", "warm fails"),
	wrapping("sweep holds all", func(b pool) pool { return greedyPool{b} }, "sweep holds one"),
	{"late binding declared in vain", []string{"11 a return beats the dial", "11 in turn while dialing"}, func(f factory, l backend.Limits) (pool, error) {
		b, err := openChan(f, l)
		return latePool{b}, err
	}},
}

const brokenEnv = "POOLTEST_TEST_BROKEN"

// suiteOn runs a subtest of the suite on a broken backend, in a process of its
// own, for a broken backend may well end it.
func suiteOn(t *testing.T, w wrong, subtest string, env ...string) (output string, err error) {
	t.Helper()
	name := strings.ReplaceAll(subtest, " ", "_")
	cmd := exec.Command(os.Args[0], "-test.v", "-test.count=1", "-test.timeout=1m",
		"-test.run=^TestSuiteOnBroken$/^"+regexp.QuoteMeta(name))
	if dir := flag.Lookup("test.gocoverdir"); testing.CoverMode() != "" && dir.Value.String() != "" {
		cmd.Args = append(cmd.Args, "-test.gocoverdir="+dir.Value.String()) // it counts, too
	}
	cmd.Env = append(os.Environ(), brokenEnv+"="+w.name, "POOLTEST_STALL=3s", "POOLTEST_STRESS=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "=== RUN   TestSuiteOnBroken/"+name) {
		t.Fatalf("there is no subtest %q: %v\n%s", subtest, err, out)
	}
	return string(out), err
}

func TestBroken(t *testing.T) {
	if os.Getenv(brokenEnv) != "" {
		t.Skip("this is the other process")
	}
	for _, w := range wrongs {
		for _, c := range w.cases {
			t.Run(w.name+"/"+c, func(t *testing.T) {
				t.Parallel()
				if out, err := suiteOn(t, w, c); err == nil {
					t.Errorf("the suite does not notice:\n%s", out)
				}
			})
		}
	}
}

// TestSeed sees that a failure of the model can be had again.
func TestSeed(t *testing.T) {
	if os.Getenv(brokenEnv) != "" {
		t.Skip("this is the other process")
	}
	w := flawed("room lost to errors")
	story := regexp.MustCompile(`the last operations: .*`)
	first, err := suiteOn(t, w, "model")
	require.Error(t, err)
	seed := regexp.MustCompile(`POOLTEST_SEED=\d+`).FindString(first)
	require.NotEmpty(t, seed, first)
	require.NotEmpty(t, story.FindString(first), first)
	for range 3 {
		again, err := suiteOn(t, w, "model", seed)
		require.Error(t, err)
		require.Equal(t, story.FindString(first), story.FindString(again))
	}
	for _, env := range []string{"POOLTEST_SEED=x", "POOLTEST_STALL=x"} {
		out, err := suiteOn(t, w, "model", env)
		require.Error(t, err)
		require.Contains(t, out, env[:len(env)-2]+": ")
	}
}

// TestSuiteOnBroken is what TestBroken runs.
func TestSuiteOnBroken(t *testing.T) {
	name := os.Getenv(brokenEnv)
	if name == "" {
		t.Skip("for TestBroken")
	}
	for _, w := range wrongs {
		if w.name == name {
			pooltest.Run(t, w.open)
		}
	}
}

// openOver opens the engine over a store that is wrong.
func openOver[S any, P interface {
	*S
	engine.Store[*resource]
}](f factory, l backend.Limits) (pool, error) {
	return engine.Open(f, l, P(new(S)))
}
