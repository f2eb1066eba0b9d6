//go:build race

package pooltest

// crowd is the number of callers that wait in the great queue. The race
// detector allows 8128 goroutines.
const crowd = 4_000
