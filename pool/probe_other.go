//go:build !unix

package pool

import "time"

// defaultProbeAfter is what Config.ProbeAfter zero means: where the socket
// cannot be asked a probe waits for a millisecond, so the default spares
// connections in constant use.
const defaultProbeAfter = int64(time.Second)
