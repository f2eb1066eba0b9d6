// Package gsvcresolve lets a client use the service registries of GoFrame: any
// [gsvc.Discovery], such as those for etcd, Consul, Nacos, Polaris and
// ZooKeeper in gf/contrib/registry.
//
// Servers register as they do today, with gsvc.Register or as part of a GoFrame
// server; a [Resolver] reports their endpoints.
package gsvcresolve
