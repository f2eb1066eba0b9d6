//go:build !race

package balance_test

const detectsRaces = false
