package gtcp

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// PoolOptions configures the pools behind NewPoolConn. The zero value behaves
// like GoFrame's gtcp: any number of connections, each for up to 600 seconds, and
// no check of idle connections.
type PoolOptions struct {
	// Backend keeps the connections: slotpool.Open[*pool.Member],
	// puddlepool.Open[*pool.Member], or one of your own. Nil means puddlepool.
	Backend backend.OpenFunc[*pool.Member]

	// MaxConns is the maximum number of connections to an address. If all of
	// them are in use, NewPoolConn waits for one, as long as it would wait for a
	// dial. Zero or negative means no maximum.
	MaxConns int

	// MaxWaiters is the maximum number of callers that wait because MaxConns is
	// reached. Further callers fail at once. Zero means no maximum. Negative
	// means that no caller may wait.
	MaxWaiters int

	// MaxLifetime is the maximum age of a connection, from its dial. Zero means
	// 600 seconds. Negative means no maximum.
	MaxLifetime time.Duration

	// MaxIdleTime is how long a connection is kept without use. Zero or
	// negative means that only MaxLifetime counts.
	MaxIdleTime time.Duration

	// UserTimeout is how long written data may stay unacknowledged before the
	// system closes the connection (TCP_USER_TIMEOUT, Linux only). Without
	// it, a request to a host that is no longer reachable blocks for about 15
	// minutes, unless the request has a timeout. Zero means 10 seconds.
	// Negative leaves the system's default. It also ends a connection if the
	// peer reads nothing for that long while data waits to be sent.
	// Connections of NewConn and of a Server have the system's default.
	UserTimeout time.Duration

	// Probe checks an idle connection before NewPoolConn returns it. One that
	// the peer has closed, or that has unread bytes, is replaced, and the
	// caller does not notice. Without Probe, NewPoolConn returns a connection
	// that the peer has closed, as GoFrame does, and its next read returns
	// io.EOF. Unread bytes are found without Probe too, by the first operation.
	Probe bool

	// KeepUnanswered keeps a connection that has sent data and has received
	// nothing since. Set it if the peer never replies, or does not reply to
	// the last message. By default such a connection is closed (GoFrame keeps
	// it), because the next caller could read the late reply as its own.
	// Addresses from which the program never receives are an exception; see
	// docs/compat.md.
	KeepUnanswered bool

	// LeakReport, if not nil, is called once for each PoolConn that is not closed
	// within LeakAfter, on a goroutine of its own. It gets the stack of the
	// caller of NewPoolConn. With it, each NewPoolConn records its stack.
	LeakReport func(pool.Leak)

	// LeakAfter is when LeakReport is called. Zero means a minute. Negative is
	// invalid, and so is a LeakAfter without LeakReport.
	LeakAfter time.Duration

	// Hooks observe the pools of the addresses. Each element implements one or
	// more of the hook interfaces of package pool, such as [pool.GetHook] and
	// [conn.DialHook]. Empty means none.
	Hooks []any
}

// ConfigurePools sets the options of the pools of the given addresses. Without an
// address, it sets those of all addresses that have no options of their own. It
// can be called before or after the first use of an address. A pool that exists
// is replaced: its idle connections are closed at once, the others when they are
// released. If an option is invalid, ConfigurePools returns an error and changes
// nothing.
func ConfigurePools(options PoolOptions, addrs ...string) error {
	if err := options.config().Validate(); err != nil {
		return err
	}
	if err := options.dialer().Validate(); err != nil {
		return err
	}
	options.Hooks = slices.Clone(options.Hooks)
	pools.configure(options, addrs)
	return nil
}

// PoolStat returns the figures of the pool of addr. They are zero if the address
// has no pool. An address has no pool before its first use, and again after some
// minutes without use. For an addr that was given to ConfigureResolver use Pools.
func PoolStat(addr string) pool.Stat {
	if p := pools.of(addr); p != nil {
		return p.pool.Stat()
	}
	return pool.Stat{}
}

// PoolsStat returns the sum of the figures of all pools behind NewPoolConn. The
// counts of a pool that is not listed any more stay in the sum, so they never
// fall. Of times that are no sums it has the largest.
func PoolsStat() pool.Stat {
	s, _ := pools.totals.stat()
	return s
}

// PoolInfo describes one of the pools behind NewPoolConn.
type PoolInfo struct {
	// Addr is the address that the pool connects to.
	Addr string
	// Service is the address that was given to ConfigureResolver, if Addr is
	// one of its servers. Otherwise it is empty.
	Service string
	// Stat has the figures of the pool.
	Stat pool.Stat
	// Pool is the pool itself, to list its connections, to evict them or to
	// resize it. Do not close it.
	Pool *pool.Pool
}

// Pools lists the pools behind NewPoolConn, in the order of Service and Addr. A
// pool that was not used for some minutes and has no connection is not listed.
func Pools() []PoolInfo {
	all := pools.list()
	slices.SortFunc(all, func(a, b PoolInfo) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Addr, b.Addr))
	})
	return all
}

// maxDialTimeout limits a dial that has no limit of its own.
const maxDialTimeout = 10 * time.Minute

// config is the pool's configuration, with gtcp's behaviour where that differs
// from the pool's defaults.
func (o PoolOptions) config() pool.Config {
	c := pool.Config{
		Backend:     o.Backend,
		MaxConns:    o.MaxConns,
		MaxWaiters:  o.MaxWaiters,
		MaxLifetime: o.MaxLifetime,
		MaxIdleTime: o.MaxIdleTime,
		MaxDialing:  -1,
		DialTimeout: maxDialTimeout,
		DialBackoff: conn.DialBackoff{After: -1},
		LeakReport:  o.LeakReport,
		LeakAfter:   o.LeakAfter,
		Hooks:       o.Hooks,
	}
	if c.MaxConns == 0 {
		c.MaxConns = -1
	}
	if !o.Probe {
		c.Probe.Mode = pool.ProbeByCaller
	}
	return c
}

// dialer makes the connections. Their only time limit is the context's.
func (o PoolOptions) dialer() *conn.Dialer {
	return &conn.Dialer{Timeout: -1, UserTimeout: o.UserTimeout}
}
