// Package etcdserver has no code: its module says which etcd server the cluster example
// builds where none is installed. To build it yourself, in this directory:
//
//	go build -o etcd go.etcd.io/etcd/server/v3
package etcdserver
