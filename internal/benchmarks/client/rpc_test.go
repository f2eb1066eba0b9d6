package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// TestLibraryThatFailsWithdraws does not end the others' comparison.
func TestLibraryThatFailsWithdraws(t *testing.T) {
	fails := func() func() error { return func() error { return errors.New("timed\nout") } }
	works := func() func() error { return func() error { return nil } }
	table, err := compare.Comparison{Title: "t", Candidates: []compare.Candidate{
		by(2, "works", withdrawing(works)), by(2, "fails", withdrawing(fails)),
	}}.Run(compare.Settings{Rounds: 2, Length: time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, "a call failed: timed out", table.Rows[1].Withdrawn)
	require.Len(t, table.Rows[0].Figures[0], 2)

	var w compare.Withdrawn
	require.False(t, errors.As(by(1, "ours", func() func() error { return func() error { return io.EOF } }).Do(1), &w), "our own failure ends it")
}

// TestLibraries makes a few calls with each.
func TestLibraries(t *testing.T) {
	addr, err := serve()
	require.NoError(t, err)
	for _, p := range append(peers, peer{"ours", func() (caller, error) { return client(addr, true, context.Background()), nil }}) {
		open, err := p.serve()
		require.NoError(t, err, p.name)
		require.NoError(t, by(4, p.name, open).Do(64), p.name)
	}
}
