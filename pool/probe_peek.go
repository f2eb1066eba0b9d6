//go:build unix || windows

package pool

// leastProbeAfter is what a zero Probe.After means: always, for a check is one
// quick system call.
const leastProbeAfter = 0
