//go:build race

package framing_test

// raceEnabled: the race detector allocates by itself.
const raceEnabled = true
