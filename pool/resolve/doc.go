// Package resolve reports the addresses of the servers of a service to a
// client, and reports each change.
//
// A [Resolver] reports whole sets of [Endpoint] values. This package has
// resolvers for a fixed list ([Static]), for DNS addresses ([DNS]) and SRV
// records ([SRV]), for a file ([File]), and two that build on others: [First]
// falls back from one resolver to the next, [Filter] keeps a part of a set.
// The nested modules etcdresolve and gsvcresolve read service registries.
//
// # Rules of a set
//
//   - A set is complete: an endpoint that is not in it has been removed.
//   - The order of a set means nothing. An endpoint that occurs twice counts
//     once. [Normalize] returns the normal form of a set.
//   - An error changes nothing: the last set stays in use.
//   - An empty set without an error says that the service has no servers. The
//     receiver decides what that means; package balance keeps the last set
//     unless it is told otherwise.
package resolve
