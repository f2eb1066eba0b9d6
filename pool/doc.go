// Package pool keeps connections to one address for many callers: it dials them
// when they are needed, keeps them while they are young and healthy, and closes
// them when they are not. It is for any protocol in which a caller has a
// connection to itself for a while.
//
//	p, err := pool.New(conn.Target{Address: "127.0.0.1:8999"}, pool.Config{})
//	...
//	c, err := p.Get(ctx) // *pool.Conn, a conn.Conn
//	...
//	err = c.Close() // releases it: kept if it is healthy, closed if not
//
// Every field of [Config] has a zero value that is a sensible setting; each
// field says which. docs/tuning.md says which settings suit which load.
//
// # A checkout
//
// The time from [Pool.Get] to [Conn.Close] is a checkout. Get acquires an idle
// connection that is young enough, that its peer has not closed and that has no
// unread bytes. One that fails this test is replaced within the same Get, and
// the caller sees no error. With none idle, Get dials. With Config.MaxConns
// reached, it waits for what is released first.
//
// Close decides by the health of the connection. After an I/O error or a
// timeout, with bytes unread, a message half done, a deadline left set or an
// operation in progress, the connection is closed. So nothing of one caller
// reaches the next. A caller that knows more calls [Conn.Evict], or
// [Conn.Replace] for another connection in the same place. [Pool.Do] is Get, a
// function, and Close in one.
//
// Each checkout has a Conn of its own, which is good for that checkout only.
// Closed twice, or used after Close, it does nothing to the next caller's
// connection.
//
// To take a connection out of the pool for good, hand it to a [conn.Conn] of
// your own with its Handoff method, and then Close the Conn. Like Close,
// Handoff needs a connection that is fit for another owner.
//
// # Time
//
// A connection lives for Config.MaxLifetime, 600 seconds unless set otherwise,
// counted from the start of its dial. With Config.LifetimeJitter each lives for
// a random time less. An older one is not acquired, is closed when it is
// released, and is closed within a second if it is idle. One timer of the pool
// is set for the next connection to be due; nothing ticks while none is.
// Config.MaxIdleTime bounds idle time in the same way, Config.MinIdle keeps some
// connections ready, and Config.KeepAlive probes those that are idle. Ages count
// the time for which the machine was suspended.
//
// # Dialing
//
// At most Config.MaxDialing dials run at once, each bounded by
// Config.DialTimeout whatever the caller's context. If a caller's context ends
// while its dial is in progress, the dial continues. The next caller that needs
// a connection takes it over; if there is none, the connection becomes idle. A
// dial that takes longer than three seconds gets a second one beside it.
//
// After a few failures in a row the pool stops dialing for a while, as
// [conn.DialBackoff] says. A Get that needs a new connection then waits for one
// that is in use, and fails at once with the cause if there is none.
// Config.AfterConnect prepares each connection, and [Conn.Session] finds what it
// returned: so a pool of connections becomes a pool of a protocol's sessions.
//
// # Overload
//
// When callers wait, the pool compares the time each has left with how long a
// checkout takes lately. A caller that would wait longer than its deadline
// allows fails at once with [ErrOverloaded], which is safe to retry and costs no
// connection. If the queue does not empty and waiters run out of time, the
// newest is served first, because the oldest have no time left to use what they
// get. Config.StrictFIFO switches both off.
//
// # Failures that others share
//
// When a connection is reset, or one that was idle before times out, the
// connections that have been idle since before that may be dead too: the peer
// was replaced, or a NAT has forgotten them. They are probed with Probe.Func, or
// closed without one, before the next caller gets them.
//
// # Errors
//
// An error of Get is an [*Error], which says how full the pool was. errors.Is
// finds its cause: the context's error, [ErrTooManyWaiters], [ErrOverloaded],
// [ErrClosed], or a dial's, such as syscall.ECONNREFUSED. errors.As finds a
// [*conn.BackoffError] while the pool does not dial. SafeToRetry is true of all
// but ErrClosed. An error of I/O on a Conn is that of package conn.
//
// # Watching
//
// [Pool.Stat] has the figures, [Pool.Conns] lists the connections, Config.Hooks
// observe each event, and Config.LeakReport finds callers that do not release.
//
// # Backends
//
// What keeps the connections is exchangeable: see package backend for the
// contract and Config.Backend for the choice. All that is said here holds for
// each of them. Which idle connection is acquired is the backend's choice: with
// puddlepool the one released last, with slotpool always one of the same few. So
// connections that only a peak needed grow idle and can be closed.
package pool
