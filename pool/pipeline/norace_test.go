//go:build !race

package pipeline_test

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
