package debugpage_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

// What the hooks of the page cost a call of a client, and a request of a server.
func BenchmarkHooks(b *testing.B) {
	p := &debugpage.Page{}
	b.Run("call", func(b *testing.B) {
		h := p.Hooks("x")[0].(interface {
			gtcp.CallHook
			gtcp.AttemptHook
			pool.GetHook
		})
		b.ReportAllocs()
		for b.Loop() {
			ctx := h.StartCall(context.Background(), gtcp.CallStart{})
			inner := h.StartAttempt(ctx, gtcp.AttemptStart{})
			h.AfterGet(inner, pool.GetEvent{Duration: time.Microsecond})
			h.EndAttempt(inner, gtcp.AttemptEnd{Duration: time.Microsecond})
			h.EndCall(ctx, gtcp.CallEnd{Duration: time.Microsecond})
		}
	})
	b.Run("request", func(b *testing.B) {
		h := p.Hooks("x")[0].(server.RequestHook)
		b.ReportAllocs()
		for b.Loop() {
			h.AfterRequest(context.Background(), server.RequestEvent{HandleTime: time.Microsecond})
		}
	})
}

// What it takes to read the page of a program with 10,000 connections.
func BenchmarkPage(b *testing.B) {
	p := &debugpage.Page{}
	p.AddPool("sessions", manyConns(10_000))
	for _, c := range []struct{ name, query string }{{"html", ""}, {"sorted", "?conns.sort=-age"}, {"filtered", "?conns.filter=idle+10.0"}, {"json", "?format=json"}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if w := get(p, c.query); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
