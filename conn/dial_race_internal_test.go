package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The tests in this file are inside the package, since only there can a race be run
// over networks that take exactly so long.

var errNoRoute = errors.New("no route")

// outcome is what becomes of an attempt after a time. The zero outcome never comes.
type outcome struct {
	after time.Duration
	err   error // nil means connected
}

// course runs a race and notes when what happens.
type course struct {
	begun    time.Time
	outcomes map[string]outcome // by "address number", as in the log

	mu     sync.Mutex // guards what follows
	log    []string
	tried  map[string]int
	closed int // connections
}

func (c *course) note(format string, args ...any) {
	at := fmt.Sprintf("%5.2f ", time.Since(c.begun).Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, at+fmt.Sprintf(format, args...))
}

// trackedConn is a connection whose end the course counts.
type trackedConn struct {
	net.Conn
	c *course
}

func (t *trackedConn) Close() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.closed++
	return nil
}

func (c *course) dial(ctx context.Context, addr string) (net.Conn, error) {
	c.mu.Lock()
	c.tried[addr]++
	name := fmt.Sprintf("%s%d", addr, c.tried[addr])
	c.mu.Unlock()
	c.note("try %s", name)
	o := c.outcomes[name]
	var over <-chan time.Time
	if o.after > 0 {
		over = time.After(o.after)
	}
	select {
	case <-over:
		if o.err != nil {
			return nil, o.err
		}
		return &trackedConn{c: c}, nil
	case <-ctx.Done():
		c.note("end %s", name)
		if o.after < 0 { // connected all the same
			return &trackedConn{c: c}, nil
		}
		return nil, ctx.Err()
	}
}

const ms = time.Millisecond

func fails(after time.Duration) outcome { return outcome{after, errNoRoute} }

func connects(after time.Duration) outcome { return outcome{after, nil} }

// raceCourse is what a race is given, and how it is to go.
type raceCourse struct {
	addrs    []string
	outcomes map[string]outcome
	resolves [][]string    // what the name stands for, at each question; nil if there is no name
	slow     time.Duration // how long a resolve takes
	want     []string
	addr     string // that is connected, or empty
	err      error
	closed   int
}

var raceCourses = map[string]raceCourse{
	"one address that hangs": {
		addrs: []string{"a"},
		want:  []string{" 0.00 try a1", " 1.00 try a2", " 2.00 try a3", " 3.00 end a2", " 3.00 try a4", " 4.00 end a3", " 4.00 try a5", " 4.50 end a1", " 4.50 end a4", " 4.50 end a5"},
		err:   context.DeadlineExceeded,
	},
	"two that hang": {
		addrs: []string{"a", "b"},
		want:  []string{" 0.00 try a1", " 0.30 try b1", " 1.30 try a2", " 2.30 end b1", " 2.30 try b2", " 3.30 end a2", " 3.30 try a3", " 4.30 end b2", " 4.30 try b3", " 4.50 end a1", " 4.50 end a3", " 4.50 end b3"},
		err:   context.DeadlineExceeded,
	},
	"the first fails, and the next is slow": {
		addrs:    []string{"a", "b", "c"},
		outcomes: map[string]outcome{"a1": fails(100 * ms), "c1": connects(50 * ms)},
		want:     []string{" 0.00 try a1", " 0.10 try b1", " 0.40 try c1", " 0.45 end b1"},
		addr:     "c",
	},
	"all fail": {
		addrs:    []string{"a", "b"},
		outcomes: map[string]outcome{"a1": fails(ms), "b1": {ms, errors.New("another")}},
		want:     []string{" 0.00 try a1", " 0.00 try b1"},
		err:      errNoRoute,
	},
	"the last fails while the first hangs": {
		addrs:    []string{"a", "b"},
		outcomes: map[string]outcome{"b1": fails(100 * ms), "a2": connects(ms)},
		want:     []string{" 0.00 try a1", " 0.30 try b1", " 1.30 try a2", " 1.30 end a1"},
		addr:     "a",
	},
	"the second attempt fails, the first goes on": {
		addrs:    []string{"a"},
		outcomes: map[string]outcome{"a1": connects(3500 * ms), "a2": fails(500 * ms)},
		want:     []string{" 0.00 try a1", " 1.00 try a2"},
		addr:     "a",
	},
	"those that run fail, and others gave way": {
		addrs: []string{"a", "b", "c", "d", "e"},
		outcomes: map[string]outcome{"a1": fails(1260 * ms), "d1": fails(360 * ms), "e1": fails(60 * ms),
			"b2": fails(10 * ms), "c2": connects(10 * ms)},
		want: []string{" 0.00 try a1", " 0.30 try b1", " 0.60 try c1", " 0.90 end b1", " 0.90 try d1", " 1.20 end c1", " 1.20 try e1", " 1.26 try b2", " 1.27 try c2"},
		addr: "c",
	},
	"one in the middle fails": {
		addrs:    []string{"a", "b", "c", "d"},
		outcomes: map[string]outcome{"b1": fails(100 * ms), "d1": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 0.30 try b1", " 0.40 try c1", " 0.70 try d1", " 0.71 end a1", " 0.71 end c1"},
		addr:     "d",
	},
	"the second of three fails": {
		addrs:    []string{"a", "b", "c"},
		outcomes: map[string]outcome{"b1": fails(100 * ms), "c1": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 0.30 try b1", " 0.40 try c1", " 0.41 end a1"},
		addr:     "c",
	},
	"the first fails when all have been tried": {
		addrs:    []string{"a", "b", "c"},
		outcomes: map[string]outcome{"a1": fails(1000 * ms), "c2": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 0.30 try b1", " 0.60 try c1", " 1.60 try b2", " 2.60 end c1", " 2.60 try c2", " 2.61 end b1", " 2.61 end b2"},
		addr:     "c",
	},
	"an address twice": {
		addrs:    []string{"a", "a", "b"},
		outcomes: map[string]outcome{"a1": fails(10 * ms), "b1": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 0.01 try a2", " 0.31 try b1", " 0.32 end a2"},
		addr:     "b",
	},
	"the name moves to two others": {
		addrs:    []string{"a"},
		resolves: [][]string{{"a", "b", "c"}}, slow: 200 * ms,
		outcomes: map[string]outcome{"c1": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 1.00 resolve", " 1.00 try a2", " 1.20 try b1", " 1.50 end a2", " 1.50 try c1", " 1.51 end a1", " 1.51 end b1"},
		addr:     "c",
	},
	"the name stays": {
		addrs:    []string{"a", "b"},
		resolves: [][]string{{"a", "b"}, nil, {"b", "c"}, {"c", "a"}}, slow: 50 * ms,
		want: []string{" 0.00 try a1", " 0.30 try b1", " 1.30 resolve", " 1.30 try a2", " 2.30 end b1", " 2.30 resolve", " 2.30 try b2",
			" 3.30 end a2", " 3.30 resolve", " 3.30 try a3", " 3.35 end b2", " 3.35 try c1", " 4.35 end a3", " 4.35 resolve", " 4.35 try a4",
			" 4.50 end a1", " 4.50 end a4", " 4.50 end c1"},
		err: context.DeadlineExceeded,
	},
	"no reply from the name server": {
		addrs:    []string{"a"},
		resolves: [][]string{nil}, slow: time.Hour,
		want: []string{" 0.00 try a1", " 1.00 resolve", " 1.00 try a2", " 2.00 try a3", " 3.00 end a2", " 3.00 try a4", " 4.00 end a3", " 4.00 try a5", " 4.50 end a1", " 4.50 end a4", " 4.50 end a5"},
		err:  context.DeadlineExceeded,
	},
	"the name moves when no address is left": {
		addrs:    []string{"a"},
		resolves: [][]string{nil, {"b"}}, slow: 100 * ms,
		outcomes: map[string]outcome{"a2": fails(100 * ms), "b1": connects(100 * ms)},
		want:     []string{" 0.00 try a1", " 1.00 resolve", " 1.00 try a2", " 2.00 resolve", " 2.10 try b1", " 2.20 end a1"},
		addr:     "b",
	},
	"the loser connects as well": {
		addrs:    []string{"a", "b"},
		outcomes: map[string]outcome{"a1": {after: -1}, "b1": connects(10 * ms)},
		want:     []string{" 0.00 try a1", " 0.30 try b1", " 0.31 end a1"},
		addr:     "b", closed: 1,
	},
}

func TestRaceCourses(t *testing.T) {
	for name, tc := range raceCourses {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &course{begun: time.Now(), outcomes: tc.outcomes, tried: map[string]int{}}
				r := race{addrs: tc.addrs, dial: c.dial}
				if tc.resolves != nil {
					asked := 0
					r.resolve = func(ctx context.Context) ([]string, error) {
						c.note("resolve")
						asked++
						select {
						case <-time.After(tc.slow):
							return tc.resolves[min(asked, len(tc.resolves))-1], nil
						case <-ctx.Done():
							return nil, ctx.Err()
						}
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 4500*ms)
				defer cancel()
				nc, addr, err := r.run(ctx)
				require.ErrorIs(t, err, tc.err)
				require.Equal(t, tc.addr, addr)
				require.Equal(t, tc.addr != "", nc != nil)
				require.Equal(t, tc.closed, c.closed)
				require.Equal(t, sortedByTime(tc.want), sortedByTime(c.log))
			})
		})
	}
}

// sortedByTime puts what happens at the same moment into the order of the alphabet.
func sortedByTime(log []string) []string {
	log = append([]string(nil), log...)
	sort.Strings(log)
	return log
}

// The timeout of a socket is that of the context if that has ended, or is about to.
func TestAttemptError(t *testing.T) {
	ended, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	odd := &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	for name, tc := range map[string]struct {
		ctx  context.Context
		err  error
		same bool
	}{
		"the socket's":        {ended, os.ErrDeadlineExceeded, false},
		"the context goes on": {t.Context(), os.ErrDeadlineExceeded, true},
		"says so already":     {ended, odd, true},
		"another error":       {ended, errNoRoute, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := attemptError(tc.ctx, tc.err)
			require.ErrorIs(t, err, tc.err)
			if tc.same {
				require.Equal(t, tc.err, err)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		})
	}
}
