//go:build !unix

package main

import "time"

// processorTime is not known here; its ratios print as NaN.
func processorTime() time.Duration { return 0 }
