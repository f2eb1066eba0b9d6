// Package conn is raw connection input and output: one connection, its
// buffers, its deadlines and its health.
package conn
