// Package frontend measures what a pool.Pool costs above its backend: Get and
// Close with the lifetime check and without a probe, beside a bare puddle in
// the same run. No bytes move, so what is measured is the pool alone.
//
//	go test -bench . -count 10 ./frontend
//
// The rows of one column are interleaved by -count; compare their medians.
package frontend
