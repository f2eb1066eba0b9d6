// Package etcdresolve finds the servers of a service in etcd, and registers
// servers there.
//
// Each server is a key below the service's prefix, such as
// /services/orders/10.0.0.7:8080. The value is a [resolve.Endpoint] in JSON, or
// only an address. A [Resolver] reads and watches the keys. A [Registration]
// writes one, under an etcd lease that ends when the process dies; [Server] does
// that for as long as a server serves.
//
// While etcd is down, clients use the servers that they know. Servers register
// again when etcd is back.
package etcdresolve
