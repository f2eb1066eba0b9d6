package pool

import "time"

// Reason says why a connection ended.
type Reason uint8

// The reasons. The zero Reason is none: the connection goes on.
const (
	kept        Reason = iota
	Expired            // MaxLifetime was over
	IdleTooLong        // MaxIdleTime was over
	Dead               // a probe found it closed or broken
	Dirty              // bytes were on it that nobody had read
	Broken             // an error of an operation ended it
	Unfit              // an operation timed out or was in progress, a message was half done, or a deadline was set
	Discarded          // its borrower called Evict
	Cleared            // Pool.Clear
	Surplus            // Pool.Resize made room for fewer
	PoolClosed         // Pool.Close
	reasons            // how many there are
)

var reasonNames = [reasons]string{
	"kept", "expired", "idle too long", "dead", "dirty", "broken",
	"unfit", "discarded", "cleared", "surplus", "pool closed",
}

// String returns the reason in a word or three.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Stat is a snapshot of a pool. The figures map to OpenTelemetry's
// conventions for connection pools as each field says.
type Stat struct {
	// MaxConns is the bound in force, 0 if there is none. (connection.max)
	MaxConns int
	// MinIdle is Config.MinIdle. (connection.idle.min)
	MinIdle int

	// Open counts the connections: Idle and Used. (connection.count)
	Open int
	// Idle counts those that wait to be lent. (connection.count, state idle)
	Idle int
	// Used counts those lent. (connection.count, state used)
	Used int
	// Dialing counts the connections being made, or in the queue for that.
	Dialing int
	// Waiting counts the Get calls blocked now. (connection.pending_requests)
	Waiting int

	// Gets counts the connections lent so far.
	Gets uint64
	// Waits counts the Get calls that found no idle connection, and WaitTime
	// is the total time they waited for one to be given back or dialed.
	// (connection.wait_time)
	Waits    uint64
	WaitTime time.Duration

	// Timeouts counts the Get calls that failed because time was up,
	// (connection.timeouts)
	Timeouts uint64
	// Canceled those whose context was cancelled,
	Canceled uint64
	// Refused those that found MaxWaiters before them,
	Refused uint64
	// and Failed those that failed for another reason, a dial's mostly.
	Failed uint64

	// Dials counts the dials so far, DialErrors those that failed, and
	// DialTime is how long they took. (connection.create_time)
	Dials, DialErrors uint64
	DialTime          time.Duration

	// Evictions counts the connections that have ended, by reason.
	Evictions Evictions
}

// Evictions counts connections that have ended, by [Reason].
type Evictions struct {
	Expired, IdleTooLong, Dead, Dirty, Broken, Unfit,
	Discarded, Cleared, Surplus, PoolClosed uint64
}

// Total is the number of connections that have ended.
func (e Evictions) Total() uint64 {
	return e.Expired + e.IdleTooLong + e.Dead + e.Dirty + e.Broken + e.Unfit +
		e.Discarded + e.Cleared + e.Surplus + e.PoolClosed
}

// Stat returns a snapshot. It costs a look at each connection's counters: to
// ask many times a second is fine. Figures agree with each other up to calls
// in progress.
func (p *Pool) Stat() Stat {
	b := p.backend.Stat()
	var n [reasons]uint64
	for r := range n {
		n[r] = p.evicted[r].Load()
	}
	return Stat{
		MaxConns: b.Max, MinIdle: p.cfg.MinIdle,
		Open: b.Open(), Idle: b.Idle, Used: b.Used, Dialing: b.Dialing, Waiting: b.Waiting,
		Gets: p.roster.loans() + uint64(b.Used), Waits: b.Waits, WaitTime: b.WaitTime,
		Timeouts: p.timeouts.Load(), Canceled: p.cancelled.Load(), Refused: b.Refused, Failed: p.failed.Load(),
		Dials: p.dials.Load(), DialErrors: p.dialErrors.Load(), DialTime: time.Duration(p.dialTime.Load()),
		Evictions: Evictions{
			Expired: n[Expired], IdleTooLong: n[IdleTooLong], Dead: n[Dead], Dirty: n[Dirty],
			Broken: n[Broken], Unfit: n[Unfit], Discarded: n[Discarded],
			Cleared: n[Cleared], Surplus: n[Surplus], PoolClosed: n[PoolClosed],
		},
	}
}
