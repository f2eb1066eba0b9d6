// Package pool lends connections to one address: dialed when needed, kept
// while they are young and healthy, closed when they are not.
//
//	p, err := pool.New(pool.Config{Address: "127.0.0.1:8999"})
//	...
//	c, err := p.Get(ctx) // *pool.Conn, a conn.Conn that Close gives back
//	...
//	err = c.Close() // kept if it is healthy, closed if not
//
// The zero value of every field of [Config] but the address is a sensible
// setting; each field says what it is. docs/tuning.md says which settings suit
// which load.
//
// # A loan
//
// [Pool.Get] lends an idle connection that is young enough, that its peer has
// not closed and that has no unread bytes; one that fails the test is replaced
// within the same call, and the caller sees no error. With none idle it dials,
// and with Config.MaxConns reached it waits in turn for what comes back first.
//
// [Conn.Close] decides by the connection's health, without the borrower's
// help: after an I/O error, a timeout, or with bytes unread, a message half
// done, a deadline left set or an operation in progress, the connection is
// closed. So nothing of one borrower reaches the next. The borrower who knows
// more calls [Conn.Evict], or [Conn.Replace] for another connection in the same
// place. [Pool.Do] is Get, a function, and Close in one.
//
// Each loan has a Conn of its own. It is good for that loan only: closed twice,
// or used after Close, it does nothing to the connection's next borrower.
//
// To take a connection out of the pool for good, hand it to a [conn.Conn] of
// your own with its Handoff method, and then Close the loan. Like Close, that
// asks for a connection fit to be another's.
//
// # Time
//
// A connection lives for Config.MaxLifetime, 600 seconds unless set otherwise,
// counted from the start of its dial; with Config.LifetimeJitter each lives for
// a little less, rolled once. It is not lent later, is closed when it comes
// back later, and if it is idle then it is closed within a second: one timer
// per pool is set for the next connection to be due, and nothing ticks while
// none is. Config.MaxIdleTime bounds idleness in the same way, and
// Config.MinIdle keeps some connections ready.
//
// # Dialing
//
// At most Config.MaxDialing dials run at once, each bounded by
// Config.DialTimeout whatever the caller's context. A caller who gives up does
// not waste his dial: its connection is kept. After a few failures in a row
// the pool stops dialing for a while, as [DialBackoff] says, and those who need
// a connection meanwhile fail at once with the cause. Config.AfterConnect
// prepares each connection, and what it returns is found with [Conn.Session],
// which is how a pool of connections becomes one of a protocol's sessions.
//
// # Errors
//
// An error of Get is an [*Error], which says how full the pool was. errors.Is
// finds the cause in it: the context's error, [ErrTooManyWaiters], [ErrClosed]
// ("backend: pool closed"), or a dial's, such as syscall.ECONNREFUSED. errors.As finds
// a [*BackoffError] while the pool does not dial. SafeToRetry is true of all but
// ErrClosed. An error of I/O on the loan is that of conn, as without a pool.
//
// # Watching
//
// [Pool.Stat] has the figures, Config.Hook observes each event, and
// Config.LeakReport finds who does not give back.
//
// # Backends
//
// What keeps the connections is exchangeable: see package backend for the
// contract and Config.Backend for the choice. All that is said here holds over
// each of them. Which of several idle connections is lent is the backend's
// choice: the one used last with puddlepool, and always one of the same few
// with slotpool, so that what a peak has left behind grows idle and can go.
package pool
