// Package frontend measures what a pool.Pool costs above its backend: Get and
// Close with the lifetime check and without a probe, beside a bare puddle in
// the same run. No bytes move, so what is measured is the pool alone.
//
//	for i in $(seq 10); do go test -bench . -benchtime 100ms ./frontend; done
//
// The rows of a column are next to each other, so a loop of short runs, unlike
// -count, interleaves them: compare the medians of the ratios of each run.
package frontend
