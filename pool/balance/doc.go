// Package balance chooses, for each call, one endpoint of a service whose
// endpoints come and go.
//
// A [Balancer] gets the endpoints from a [resolve.Resolver]. It keeps one value
// for each endpoint, such as a connection pool. Pick returns the value of the
// best endpoint for a call:
//
//	checkout, err := b.Pick(ctx, balance.Request{})
//	if err != nil {
//		return err
//	}
//	err = call(checkout.Value)
//	checkout.Done(balance.Classify(err))
//
// It does not use connections itself. It opens and closes values with two
// functions, and [Checkout.Done] tells it the result of a call.
//
// # Policies
//
//   - [PeakEWMA], the default: of two random endpoints the one with the lower
//     latency times calls in flight. A slow endpoint gets few calls.
//   - [LeastInFlight]: of two random endpoints the one with fewer calls in
//     flight.
//   - [RoundRobin] and [Weighted]: in turn, and in turn by weight.
//   - [Hash]: calls with the same [Request.Key] go to the same endpoint, unless
//     that one has too many calls in flight.
//
// Endpoints are used by priority, then by zone. The next priority or zone gets
// calls only if the first one has too few available endpoints, or too many calls
// in flight.
//
// # Health
//
// An endpoint is ejected after failures in a row, or when it fails much more
// often than the others. After that, single calls try it. If one succeeds, the
// endpoint gets calls again, few at first. If it fails, the endpoint is ejected
// for twice as long. At most 80 % of the endpoints are ejected by default. If
// more of them fail, all of them are used, because the cause is then probably
// this process or the whole service.
//
// An endpoint that replies that it has too much to do ([Overloaded]) is not ejected.
// With [PeakEWMA] and [LeastInFlight] it gets fewer calls for about a second.
//
// # Costs
//
// Pick takes no lock, allocates nothing and does not depend on the number of
// endpoints. A balancer has one goroutine, and one more for the resolver.
package balance
