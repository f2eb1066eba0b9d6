// Package framing reads and writes length-prefixed frames ("packages" in
// gtcp's words) on any byte stream.
package framing
