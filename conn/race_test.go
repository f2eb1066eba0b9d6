//go:build race

package conn_test

// The race detector allocates.
const raceEnabled = true
