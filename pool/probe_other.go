//go:build !(unix || windows)

package pool

import "time"

// leastProbeAfter is what a zero Probe.After means: where the socket cannot be
// asked a check waits for a millisecond, so the default spares connections in
// constant use.
const leastProbeAfter = time.Second
