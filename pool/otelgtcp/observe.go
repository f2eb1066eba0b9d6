package otelgtcp

import (
	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

func (o *observer) client(s gtcp.ClientStat) {
	o.count(o.retries, s.Retries)
	o.count(o.hedges, s.Hedges)
	o.count(o.calls, s.Calls)
	for kind, n := range s.Errors {
		o.count(o.errors, n, keyError.String(errorTypes[errorTypeOf(kind)]))
	}
	if len(s.Endpoints) > 0 || !s.Balance.Resolved.IsZero() || s.Balance.ResolveError != nil {
		o.service(s)
	}
	if s.Shared {
		o.pipeline(s.Pipeline)
	} else {
		o.pool(s.Pool)
	}
}

// service is what a client with a resolver has besides.
func (o *observer) service(s gtcp.ClientStat) {
	var states [balance.Removed]int
	for _, one := range s.Endpoints {
		if one.State < balance.Removed {
			states[one.State]++
		}
	}
	for state, n := range states {
		o.number(o.endpoints, n, keyState.String(balance.State(state).String()))
	}
	o.number(o.endpoints, s.Balance.Draining, keyState.String("draining"))
	o.flag(o.allUsed, s.Balance.Panic)
	o.count(o.overloads, s.Balance.Refused)
	o.flag(o.unresolved, s.Balance.ResolveError != nil)
}

func (o *observer) pool(s pool.Stat) {
	o.number(o.connections, s.Idle, keyState.String("idle"))
	o.number(o.connections, s.Used, keyState.String("used"))
	o.number(o.maxConns, s.MaxConns)
	o.number(o.minIdle, s.MinIdle)
	o.number(o.dialing, s.Dialing)
	o.number(o.pending, s.Waiting)
	o.to.ObserveFloat64(o.holdTime, s.HoldTime.Seconds(), o.attributes(nil))
	o.to.ObserveFloat64(o.oldestWait, s.OldestWait.Seconds(), o.attributes(nil))
	o.count(o.timeouts, s.Timeouts)
	o.count(o.refused, s.Canceled, keyReason.String("canceled"))
	o.count(o.refused, s.Refused, keyReason.String("too_many_waiters"))
	o.count(o.refused, s.Overloaded, keyReason.String("overloaded"))
	o.count(o.refused, s.Failed, keyReason.String("other"))
	o.count(o.dialErrors, s.DialErrors)
	o.flag(o.suspended, s.Suspended)
	o.bytes(s.BytesRead, s.BytesWritten)
	for reason, n := range s.Evictions {
		if n > 0 {
			o.count(o.closed, n, keyReason.String(word(pool.Reason(reason).String())))
		}
	}
}

func (o *observer) bytes(in, out uint64) {
	o.count(o.io, in, keyDirection.String("receive"))
	o.count(o.io, out, keyDirection.String("transmit"))
}

func (o *observer) pipeline(s pipeline.Stat) {
	o.number(o.connections, s.Open, keyState.String("used"))
	o.flag(o.dialing, s.Dialing)
	o.number(o.pending, s.Waiting)
	o.count(o.refused, s.Refused, keyReason.String("too_many_waiters"))
	o.count(o.refused, s.Overloaded, keyReason.String("overloaded"))
	o.count(o.dialErrors, s.DialErrors)
	o.flag(o.suspended, s.Suspended)
	o.bytes(s.BytesRead, s.BytesWritten)
	o.number(o.inFlight, s.InFlight)
	o.number(o.abandoned, s.Abandoned)
	o.count(o.pipelineRequests, s.Calls)
	o.count(o.replies, s.Replies)
	o.count(o.pipelineTimeouts, s.Timeouts)
	o.count(o.canceled, s.Canceled)
	o.count(o.failed, s.Failed)
	o.count(o.lateReplies, s.Late)
	o.count(o.writes, s.Writes)
	for reason, n := range s.Ends {
		if n > 0 {
			o.count(o.closed, n, keyReason.String(word(pipeline.Reason(reason).String())))
		}
	}
}

func (o *observer) server(s server.Stat) {
	o.number(o.serverConnections, s.Active, keyState.String("active"))
	o.number(o.serverConnections, s.Idle, keyState.String("idle"))
	o.number(o.serverConnections, max(s.Open-s.Active-s.Idle, 0), keyState.String("new"))
	o.number(o.parked, s.Parked)
	o.number(o.sleeping, s.Sleeping)
	o.number(o.active, s.InProgress)
	o.count(o.accepted, s.Accepted)
	o.count(o.serverRefused, s.RefusedMaxConns, keyReason.String("max_conns"))
	o.count(o.serverRefused, s.RefusedPerIP, keyReason.String("max_conns_per_ip"))
	o.count(o.serverRefused, s.Oversize, keyReason.String("oversize"))
	o.count(o.serverRefused, s.Overloaded, keyReason.String("overloaded"))
	o.count(o.requests, s.Requests)
	o.count(o.serverTimeouts, s.ReadTimeouts, keyReason.String("read"))
	o.count(o.serverTimeouts, s.WriteTimeouts, keyReason.String("write"))
	o.count(o.serverTimeouts, s.IdleTimeouts, keyReason.String("idle"))
	o.count(o.handshakes, s.HandshakeFailures)
	o.count(o.panics, s.Panics)
	o.count(o.acceptErrors, s.AcceptErrors)
}
