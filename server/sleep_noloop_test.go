//go:build gtcp_noloop

package server_test

// canSleep says that connections sleep on this system.
const canSleep = false
