//go:build !linux

package main

import "time"

func exactSleep(d time.Duration) { time.Sleep(d) }
