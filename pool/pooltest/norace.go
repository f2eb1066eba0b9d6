//go:build !race

package pooltest

// crowd is the number of callers that wait in the great queue.
const crowd = 10_000
