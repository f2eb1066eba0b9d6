//go:build unix

package pool

// defaultProbeAfter is what Config.ProbeAfter zero means: always, for a probe
// is one quick system call.
const defaultProbeAfter = 0
