// Package pool is a pool of connections to one address. It dials connections
// when they are needed, keeps them while they are healthy and not too old, and
// closes the others. Use it for any protocol in which a caller needs a
// connection that no other caller uses at the same time.
//
//	p, err := pool.New(conn.Target{Address: "127.0.0.1:8999"}, pool.Config{})
//	...
//	c, err := p.Get(ctx) // *pool.Conn, a conn.Conn
//	...
//	err = c.Close() // releases it: kept if it is healthy, closed if not
//
// The zero value of every field of [Config] is a safe default. The comment of
// the field says what it means. docs/tuning.md says which settings suit
// which load.
//
// # A checkout
//
// The time from [Pool.Get] to [Conn.Close] is a checkout. Get acquires an idle
// connection that is young enough, that its peer has not closed and that has no
// unread bytes. One that fails this test is replaced within the same Get, and
// the caller sees no error. If no connection is idle, Get dials one. If
// Config.MaxConns is reached, Get waits until a connection is released.
//
// Close decides by the health of the connection. It closes the connection after
// an I/O error or a timeout. It also closes it if bytes are unread, a message
// is incomplete, a deadline is still set or an operation is in progress. So no
// data of one caller reaches the next one. To close the connection in any case,
// call [Conn.Evict]. To exchange it for a new one, call [Conn.Replace].
// [Pool.Do] calls Get, then a function, and then Close.
//
// Each checkout has its own Conn, which is valid for that checkout only. A
// second Close, or a call after Close, has no effect on the connection of
// the next caller.
//
// To take a connection out of the pool for good, hand it to a [conn.Conn] of
// your own with its Handoff method, and then Close the Conn. Handoff fails
// if the connection is not Reusable.
//
// # Time
//
// A connection lives for Config.MaxLifetime, 600 seconds unless set otherwise,
// counted from the start of its dial. Config.LifetimeJitter shortens the
// lifetime of each connection by a random time. A connection that is too old is
// not acquired. It is closed when it is released, or within a second if it is
// idle. The pool has one timer, set for the next connection that expires. No
// timer runs if no connection can expire. Config.MaxIdleTime bounds idle time in
// the same way, Config.MinIdle keeps some connections ready, and
// Config.KeepAlive probes those that are idle. Ages include the time for which
// the machine was suspended.
//
// # Dialing
//
// At most Config.MaxDialing dials are in progress at once. Config.DialTimeout
// limits each of them; the context of the caller does not. If a caller's
// context ends while its dial is in progress, the dial continues. The next
// caller that needs a connection takes it over; if there is none, the
// connection becomes idle. If a dial takes longer than 3 seconds, the pool
// begins a second one in parallel.
//
// After a few failures in a row the pool stops dialing for a while, as
// [conn.DialBackoff] says. A Get that needs a new connection then waits for a
// connection that is in use. If no connection is in use, Get fails at once with
// the cause. Config.AfterConnect prepares each connection, and [Conn.Session]
// returns its result. So a pool of connections can be a pool of sessions.
//
// # Overload
//
// When callers wait, the pool compares the time that each caller has left with
// the recent duration of a checkout. A caller that would wait longer than its
// deadline allows fails at once with [ErrOverloaded], which is safe to retry and
// costs no connection. If the queue does not empty and waiters run out of time,
// the newest is served first, because the oldest have no time left to use what
// they get. Config.StrictFIFO switches both off.
//
// # Failures that others share
//
// A connection may be reset, or an operation on a connection that was idle may
// time out. Then connections that were idle before that may be dead too: the
// peer was replaced, or a NAT has dropped them. Before a caller acquires such a
// connection, the pool probes it with Probe.Func. If Probe.Func is nil, the pool
// closes it.
//
// # Errors
//
// An error of Get is an *[Error], which has the number of connections and
// waiters at that time. errors.Is finds its cause: the context's error,
// [ErrTooManyWaiters], [ErrOverloaded], [ErrClosed], or the error of a dial,
// such as syscall.ECONNREFUSED. errors.As finds a [*conn.BackoffError] while
// the pool does not dial. SafeToRetry is true for all of them except
// ErrClosed. An I/O error on a Conn is an error of package conn.
//
// # Watching
//
// [Pool.Stat] has the figures, [Pool.Conns] lists the connections, Config.Hooks
// observe each event, and Config.LeakReport finds callers that do not release.
//
// # Backends
//
// The backend keeps the connections, and you can choose it with Config.Backend.
// Package backend is its contract. This documentation is true for each backend.
// The backend chooses which idle connection is acquired: puddlepool takes the
// one released last, slotpool always one of the same few. So connections that
// were needed only for a peak stay idle and can be closed.
package pool
