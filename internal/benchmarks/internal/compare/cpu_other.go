//go:build !unix

package compare

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
