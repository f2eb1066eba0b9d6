package promgtcp

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// metric is one of the metrics.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// metrics are all of them, for Describe.
var metrics []metric

func define(kind prometheus.ValueType, name, help string, labels ...string) metric {
	m := metric{prometheus.NewDesc("gtcp_"+name, help, append([]string{"name"}, labels...), nil), kind}
	metrics = append(metrics, m)
	return m
}

func counter(name, help string, labels ...string) metric {
	return define(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) metric {
	return define(prometheus.GaugeValue, name, help, labels...)
}

var (
	clientCalls   = counter("client_calls_total", "Calls begun.")
	clientErrors  = counter("client_errors_total", "Calls failed, by the kind of their error.", "kind")
	clientRetries = counter("client_retries_total", "Attempts made after another had failed.")
	clientHedges  = counter("client_hedges_total", "Attempts made beside another.")
	endpoints     = gauge("client_endpoints", "Servers of the service, by their state.", "state")
	allUsed       = gauge("client_endpoints_panic", "1 while so many servers fail that all are used.")
	overloads     = counter("client_endpoints_refused_total", "Calls refused by servers that had too much to do, those repeated at another included.")
	unresolved    = gauge("client_resolve_failing", "1 while the resolver reports an error.")

	connections   = gauge("connections", "Open connections, by their state.", "state")
	connLimit     = gauge("connections_limit", "Largest number of connections, 0 without a limit.")
	connMinIdle   = gauge("connections_idle_min", "Idle connections that the pool keeps ready.")
	connHold      = gauge("connections_hold_seconds", "Recent median time of a checkout.")
	connDialing   = gauge("connections_dialing", "Connections being made.")
	connPending   = gauge("connections_pending_requests", "Callers that wait for a connection.")
	connOldest    = gauge("connections_oldest_wait_seconds", "How long the first of the callers that wait has waited.")
	connSuspended = gauge("connections_dial_suspended", "1 while dialing is suspended because dials fail.")
	acquires      = counter("connections_acquired_total", "Checkouts of a connection.")
	waits         = counter("connections_waits_total", "Checkouts that found no idle connection.")
	waitTime      = counter("connections_wait_seconds_total", "Time waited for a connection.")
	refusals      = counter("connections_refused_total", "Callers that got no connection, by the reason.", "reason")
	dials         = counter("connections_dials_total", "Dials, those that failed included.")
	dialErrors    = counter("connections_dial_errors_total", "Dials that failed.")
	dialTime      = counter("connections_dial_seconds_total", "Time that dials took.")
	closed        = counter("connections_closed_total", "Connections that have ended, by the reason.", "reason")
	received      = counter("connections_received_bytes_total", "Bytes received.")
	sent          = counter("connections_sent_bytes_total", "Bytes sent.")

	inFlight  = gauge("pipeline_in_flight_requests", "Requests without a reply.")
	abandoned = gauge("pipeline_abandoned_requests", "Requests without a reply whose callers have given up.")
	accepted  = counter("pipeline_requests_total", "Requests accepted by a connection.")
	replies   = counter("pipeline_replies_total", "Replies handed to their callers.")
	timeouts  = counter("pipeline_timeouts_total", "Calls whose deadline passed.")
	canceled  = counter("pipeline_canceled_total", "Requests accepted whose callers gave up before the reply.")
	failed    = counter("pipeline_failed_total", "Calls failed for another reason than their context's.")
	late      = counter("pipeline_late_replies_total", "Replies dropped because their callers had given up.")
	writes    = counter("pipeline_writes_total", "System calls that wrote requests.")

	serverConns     = gauge("server_connections", "Open connections, by their state.", "state")
	serverParked    = gauge("server_parked_connections", "Idle connections that have no goroutine.")
	serverSleeping  = gauge("server_sleeping_connections", "Parked connections that keep only their descriptor.")
	serverProgress  = gauge("server_in_progress_requests", "Requests without a written reply.")
	serverAccepted  = counter("server_accepted_total", "Connections accepted.")
	serverRefused   = counter("server_refused_total", "Connections and requests refused, by the reason.", "reason")
	serverRequests  = counter("server_requests_total", "Requests read.")
	serverTimeouts  = counter("server_timeouts_total", "Connections closed because of a timeout, by its kind.", "kind")
	serverHandshake = counter("server_handshake_failures_total", "TLS handshakes that failed.")
	serverPanics    = counter("server_panics_total", "Panics in handlers and hooks.")
	serverAccept    = counter("server_accept_errors_total", "Errors of Accept that were waited out.")
)

// emit sends metrics of one source.
type emit struct {
	name string
	out  chan<- prometheus.Metric
}

func (e emit) send(m metric, value float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(m.desc, m.kind, value, append([]string{e.name}, labels...)...)
}

// label writes a name of several words as one.
func label(s string) string { return strings.ReplaceAll(s, " ", "_") }

func (e emit) client(s gtcp.ClientStat) {
	e.send(clientCalls, float64(s.Calls))
	e.send(clientRetries, float64(s.Retries))
	e.send(clientHedges, float64(s.Hedges))
	for kind, n := range s.Errors {
		e.send(clientErrors, float64(n), label(kind))
	}
	if len(s.Endpoints) > 0 || !s.Balance.Resolved.IsZero() || s.Balance.ResolveError != nil {
		e.service(s)
	}
	if s.Shared {
		e.pipeline(s.Pipeline)
	} else {
		e.pool(s.Pool)
	}
}

// service is what a client with a resolver has besides.
func (e emit) service(s gtcp.ClientStat) {
	var states [balance.Removed]int
	for _, one := range s.Endpoints {
		if one.State < balance.Removed {
			states[one.State]++
		}
	}
	for state, n := range states {
		e.send(endpoints, float64(n), balance.State(state).String())
	}
	e.send(endpoints, float64(s.Balance.Draining), "draining")
	e.flag(allUsed, s.Balance.Panic)
	e.send(overloads, float64(s.Balance.Refused))
	e.flag(unresolved, s.Balance.ResolveError != nil)
}

func (e emit) flag(m metric, set bool) {
	value := 0.
	if set {
		value = 1
	}
	e.send(m, value)
}

func (e emit) pool(s pool.Stat) {
	e.send(connections, float64(s.Idle), "idle")
	e.send(connections, float64(s.Used), "used")
	e.send(connLimit, float64(s.MaxConns))
	e.send(connMinIdle, float64(s.MinIdle))
	e.send(connHold, s.HoldTime.Seconds())
	e.send(connDialing, float64(s.Dialing))
	e.send(connPending, float64(s.Waiting))
	e.send(connOldest, s.OldestWait.Seconds())
	e.send(acquires, float64(s.Gets))
	e.send(waits, float64(s.Waits))
	e.send(waitTime, s.WaitTime.Seconds())
	e.send(refusals, float64(s.Timeouts), "timeout")
	e.send(refusals, float64(s.Canceled), "canceled")
	e.send(refusals, float64(s.Refused), "too_many_waiters")
	e.send(refusals, float64(s.Overloaded), "overloaded")
	e.send(refusals, float64(s.Failed), "other")
	e.dialing(s.Dials, s.DialErrors, s.DialTime, s.Suspended, s.BytesRead, s.BytesWritten)
	for reason, n := range s.Evictions {
		if n > 0 {
			e.send(closed, float64(n), label(pool.Reason(reason).String()))
		}
	}
}

// dialing is what pools and pipelines have alike.
func (e emit) dialing(n, failed uint64, took time.Duration, suspended bool, in, out uint64) {
	e.send(dials, float64(n))
	e.send(dialErrors, float64(failed))
	e.send(dialTime, took.Seconds())
	e.flag(connSuspended, suspended)
	e.send(received, float64(in))
	e.send(sent, float64(out))
}

func (e emit) pipeline(s pipeline.Stat) {
	e.send(connections, float64(s.Open), "used")
	e.flag(connDialing, s.Dialing)
	e.send(connPending, float64(s.Waiting))
	e.send(waitTime, s.WaitTime.Seconds())
	e.send(refusals, float64(s.Refused), "too_many_waiters")
	e.send(refusals, float64(s.Overloaded), "overloaded")
	e.dialing(s.Dials, s.DialErrors, s.DialTime, s.Suspended, s.BytesRead, s.BytesWritten)
	e.send(inFlight, float64(s.InFlight))
	e.send(abandoned, float64(s.Abandoned))
	e.send(accepted, float64(s.Calls))
	e.send(replies, float64(s.Replies))
	e.send(timeouts, float64(s.Timeouts))
	e.send(canceled, float64(s.Canceled))
	e.send(failed, float64(s.Failed))
	e.send(late, float64(s.Late))
	e.send(writes, float64(s.Writes))
	for reason, n := range s.Ends {
		if n > 0 {
			e.send(closed, float64(n), label(pipeline.Reason(reason).String()))
		}
	}
}

func (e emit) server(s server.Stat) {
	e.send(serverConns, float64(s.Active), "active")
	e.send(serverConns, float64(s.Idle), "idle")
	e.send(serverConns, float64(max(s.Open-s.Active-s.Idle, 0)), "new")
	e.send(serverParked, float64(s.Parked))
	e.send(serverSleeping, float64(s.Sleeping))
	e.send(serverProgress, float64(s.InProgress))
	e.send(serverAccepted, float64(s.Accepted))
	e.send(serverRefused, float64(s.RefusedMaxConns), "max_conns")
	e.send(serverRefused, float64(s.RefusedPerIP), "max_conns_per_ip")
	e.send(serverRefused, float64(s.Oversize), "oversize")
	e.send(serverRefused, float64(s.Overloaded), "overloaded")
	e.send(serverRequests, float64(s.Requests))
	e.send(serverTimeouts, float64(s.ReadTimeouts), "read")
	e.send(serverTimeouts, float64(s.WriteTimeouts), "write")
	e.send(serverTimeouts, float64(s.IdleTimeouts), "idle")
	e.send(serverHandshake, float64(s.HandshakeFailures))
	e.send(serverPanics, float64(s.Panics))
	e.send(serverAccept, float64(s.AcceptErrors))
}
