//go:build !linux

// Command chaos breaks a network under load. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chaos: needs Linux")
	os.Exit(1)
}
