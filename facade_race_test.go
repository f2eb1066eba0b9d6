//go:build race

package gtcp_test

const raceEnabled = true
