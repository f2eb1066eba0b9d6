// Package gtcp is the front door of a TCP SDK: a facade compatible with
// GoFrame's net/gtcp and a context-first Client, over the layers conn,
// framing, retry, pool and server, each of which is useful alone.
package gtcp
