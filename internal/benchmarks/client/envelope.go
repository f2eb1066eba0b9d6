package main

import (
	"context"
	"strconv"
	"time"

	ours "github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// envelopes is what the envelope costs a call: on both sides, and with all that a
// call may bring.
func envelopes(p *compare.Program, addr string) error {
	enveloped, err := serveFrames(true)
	if err != nil {
		return err
	}
	trace := envelope.Trace{ID: [16]byte{1}, Parent: [8]byte{2}, Flags: 1}
	full := envelope.ContextWithMethod(envelope.ContextWithTrace(context.Background(), trace), "users.get")
	defer func(s compare.Settings) { p.Settings = s }(p.Settings)
	for _, of := range []struct {
		mode    string
		shared  bool
		callers int
		most    float64
	}{
		{"shared", true, 256, 0}, // told, without a goal
		{"exclusive", false, 1, 1.05},
		{"shared", true, 1, 1.05},
	} {
		if !p.Short && of.callers == 1 { // short turns, so that those of a round are alike
			p.Settings = compare.Settings{Rounds: 1001, Length: 2 * time.Millisecond}
		}
		bare, timed, all := "bare frames", "envelope with a time limit", "envelope with a time limit, trace and method"
		config := ours.ClientConfig{Shared: of.shared} // each call ends after CallTimeout
		with := config
		with.Envelope = true
		c := compare.Comparison{
			Title:  strconv.Itoa(of.callers) + " callers, Client, " + of.mode + ", with and without envelopes",
			Bases:  []string{bare},
			Allocs: true,
			CPU:    true,
			Candidates: []compare.Candidate{
				by(of.callers, bare, clientOf(addr, config, context.Background())),
				by(of.callers, timed, clientOf(enveloped, with, context.Background())),
				by(of.callers, all, clientOf(enveloped, with, full)),
			},
		}
		for _, name := range []string{timed, all} {
			if of.most > 0 {
				c.Goals = append(c.Goals, compare.Goal{Ref: "G.3", Says: "an envelope costs little", Of: name, To: []string{bare}, Want: compare.AtMost(of.most)})
			}
			c.Goals = append(c.Goals, compare.Goal{Ref: "G.3", Says: "no allocations", Of: name, Allocs: true, Want: compare.AtMost(0)})
		}
		if err := p.Compare(c); err != nil {
			return err
		}
	}
	return nil
}
