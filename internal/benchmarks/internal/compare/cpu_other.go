//go:build !unix

package compare

import "time"

// ProcessorTime is what the process has used so far: not known here.
func ProcessorTime() time.Duration { return 0 }
