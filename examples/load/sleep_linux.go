package main

import (
	"syscall"
	"time"
)

// exactSleep blocks a thread. The timers of Go's runtime wake a program that has
// nothing else to do in whole milliseconds here, which is longer than many calls
// take; the system's wake it within some 60 µs.
func exactSleep(d time.Duration) {
	t := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&t, nil) // a signal may end it early; the caller looks at the time
}
