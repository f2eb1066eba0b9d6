package otelgtcp

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments are the observable instruments.
type instruments struct {
	calls, errors, retries, hedges, overloads             metric.Int64ObservableCounter
	timeouts, refused, dialErrors, closed, io             metric.Int64ObservableCounter
	pipelineRequests, replies, pipelineTimeouts, canceled metric.Int64ObservableCounter
	failed, lateReplies, writes                           metric.Int64ObservableCounter
	accepted, serverRefused, requests, serverTimeouts     metric.Int64ObservableCounter
	handshakes, panics, acceptErrors                      metric.Int64ObservableCounter

	endpoints, connections, maxConns, minIdle, dialing, pending      metric.Int64ObservableUpDownCounter
	inFlight, abandoned, serverConnections, parked, sleeping, active metric.Int64ObservableUpDownCounter

	suspended, allUsed, unresolved metric.Int64ObservableGauge
	oldestWait, holdTime           metric.Float64ObservableGauge
}

// make makes them, and returns all of them.
func (in *instruments) make(meter metric.Meter) (all []metric.Observable, failed error) {
	keep := func(o metric.Observable, err error) {
		all, failed = append(all, o), errors.Join(failed, err)
	}
	in.makeCounters(meter, keep)
	in.makeLevels(meter, keep)
	in.makeGauges(meter, keep)
	return all, failed
}

func (in *instruments) makeCounters(meter metric.Meter, keep func(metric.Observable, error)) {
	for _, c := range []struct {
		to                      *metric.Int64ObservableCounter
		name, unit, description string
	}{
		{&in.calls, "gtcp.client.calls", "{call}", "Calls begun."},
		{&in.errors, "gtcp.client.errors", "{call}", "Calls failed, by the kind of their error."},
		{&in.retries, "gtcp.client.retries", "{attempt}", "Attempts made after another had failed."},
		{&in.hedges, "gtcp.client.hedges", "{attempt}", "Attempts made beside another."},
		{&in.overloads, "gtcp.client.endpoint.refused", "{call}", "Calls refused by servers that had too much to do, those repeated at another included."},
		{&in.timeouts, "gtcp.client.connection.timeouts", "{timeout}", "Callers whose time was over before they got a connection."},
		{&in.refused, "gtcp.client.connection.refused", "{request}", "Callers that got no connection, by the reason."},
		{&in.dialErrors, "gtcp.client.connection.dial_errors", "{dial}", "Dials that failed."},
		{&in.closed, "gtcp.client.connection.closed", "{connection}", "Connections that have ended, by the reason."},
		{&in.io, "gtcp.client.connection.io", "By", "Bytes received and sent."},
		{&in.pipelineRequests, "gtcp.client.pipeline.requests", "{request}", "Requests accepted by a connection."},
		{&in.replies, "gtcp.client.pipeline.replies", "{reply}", "Replies handed to their callers."},
		{&in.pipelineTimeouts, "gtcp.client.pipeline.timeouts", "{call}", "Calls whose deadline passed."},
		{&in.canceled, "gtcp.client.pipeline.canceled", "{request}", "Requests accepted whose callers gave up before the reply."},
		{&in.failed, "gtcp.client.pipeline.failed", "{call}", "Calls failed for another reason than their context's."},
		{&in.lateReplies, "gtcp.client.pipeline.late_replies", "{reply}", "Replies dropped because their callers had given up."},
		{&in.writes, "gtcp.client.pipeline.writes", "{write}", "System calls that wrote requests."},
		{&in.accepted, "gtcp.server.connection.accepted", "{connection}", "Connections accepted."},
		{&in.serverRefused, "gtcp.server.refused", "{refusal}", "Connections and requests refused, by the reason."},
		{&in.requests, "gtcp.server.requests", "{request}", "Requests read."},
		{&in.serverTimeouts, "gtcp.server.timeouts", "{timeout}", "Connections closed because of a timeout, by its kind."},
		{&in.handshakes, "gtcp.server.handshake_failures", "{handshake}", "TLS handshakes that failed."},
		{&in.panics, "gtcp.server.panics", "{panic}", "Panics in handlers and hooks."},
		{&in.acceptErrors, "gtcp.server.accept_errors", "{error}", "Errors of Accept that were waited out."},
	} {
		var err error
		*c.to, err = meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.description))
		keep(*c.to, err)
	}
}

func (in *instruments) makeLevels(meter metric.Meter, keep func(metric.Observable, error)) {
	for _, c := range []struct {
		to                      *metric.Int64ObservableUpDownCounter
		name, unit, description string
	}{
		{&in.endpoints, "gtcp.client.endpoints", "{endpoint}", "Servers of the service, by their state."},
		{&in.connections, "gtcp.client.connections", "{connection}", "Open connections, by their state."},
		{&in.maxConns, "gtcp.client.connection.max", "{connection}", "Largest number of connections, 0 without a limit."},
		{&in.minIdle, "gtcp.client.connection.idle.min", "{connection}", "Idle connections that the pool keeps ready."},
		{&in.dialing, "gtcp.client.connection.dialing", "{connection}", "Connections being made."},
		{&in.pending, "gtcp.client.connection.pending_requests", "{request}", "Callers that wait for a connection."},
		{&in.inFlight, "gtcp.client.pipeline.in_flight", "{request}", "Requests without a reply."},
		{&in.abandoned, "gtcp.client.pipeline.abandoned", "{request}", "Requests without a reply whose callers have given up."},
		{&in.serverConnections, "gtcp.server.connections", "{connection}", "Open connections, by their state."},
		{&in.parked, "gtcp.server.connection.parked", "{connection}", "Idle connections that have no goroutine."},
		{&in.sleeping, "gtcp.server.connection.sleeping", "{connection}", "Parked connections that keep only their descriptor."},
		{&in.active, "gtcp.server.active_requests", "{request}", "Requests without a written reply."},
	} {
		var err error
		*c.to, err = meter.Int64ObservableUpDownCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.description))
		keep(*c.to, err)
	}
}

func (in *instruments) makeGauges(meter metric.Meter, keep func(metric.Observable, error)) {
	for _, c := range []struct {
		to                *metric.Int64ObservableGauge
		name, description string
	}{
		{&in.suspended, "gtcp.client.connection.dial_suspended", "1 while dialing is suspended because dials fail."},
		{&in.allUsed, "gtcp.client.endpoint.panic", "1 while so many servers fail that all are used."},
		{&in.unresolved, "gtcp.client.resolve_failing", "1 while the resolver reports an error."},
	} {
		var err error
		*c.to, err = meter.Int64ObservableGauge(c.name, metric.WithDescription(c.description))
		keep(*c.to, err)
	}
	for _, c := range []struct {
		to                *metric.Float64ObservableGauge
		name, description string
	}{
		{&in.oldestWait, "gtcp.client.connection.oldest_wait", "How long the first of the callers that wait has waited."},
		{&in.holdTime, "gtcp.client.connection.hold_time", "Recent median time of a checkout."},
	} {
		var err error
		*c.to, err = meter.Float64ObservableGauge(c.name, metric.WithUnit("s"), metric.WithDescription(c.description))
		keep(*c.to, err)
	}
}
