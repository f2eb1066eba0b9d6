// Package balance chooses, for each call, one endpoint of a service whose
// endpoints come and go.
//
// A [Balancer] follows a [resolve.Resolver], keeps one value for each endpoint
// (a connection pool, for example), and gives out the value of the endpoint
// that suits a call best:
//
//	checkout, err := b.Pick(ctx, balance.Request{})
//	if err != nil {
//		return err
//	}
//	err = call(checkout.Value)
//	checkout.Done(balance.Classify(err))
//
// It knows nothing of connections: it opens and closes values by two functions,
// and learns how a call went from [Checkout.Done].
//
// # Policies
//
//   - [PeakEWMA], the default: of two random endpoints the one with the lower
//     latency times calls in flight. A slow endpoint gets few calls.
//   - [LeastInFlight]: of two random endpoints the one with fewer calls in
//     flight.
//   - [RoundRobin] and [Weighted]: in turn, and in turn by weight.
//   - [Hash]: calls with the same [Request.Key] go to the same endpoint, unless
//     that one has too much to do.
//
// Endpoints are used by priority, then by zone: the next level gets calls as far
// as the first has too few endpoints available, or too many calls in flight.
//
// # Health
//
// An endpoint is ejected after failures in a row, or when it fails much more
// often than the others. Afterwards single calls try it: a success brings it
// back, with few calls at first; a failure ejects it for twice as long. No more
// than a part of the endpoints may be ejected: beyond that all of them are used,
// because then the failures say more about this process or the whole service.
//
// # Costs
//
// Pick takes no lock, allocates nothing and does not depend on the number of
// endpoints. A balancer has one goroutine, and one more for the resolver.
package balance
