//go:build race

package gtcp_test

// detectsRaces: the race detector allocates by itself.
const detectsRaces = true
