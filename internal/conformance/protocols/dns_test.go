package protocols_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// dnsServer replies to a question for a name with the name as a text, each
// after a random time of its own: replies pass each other, as RFC 7766 permits.
func dnsServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var replies sync.WaitGroup
	srv := &dns.Server{Listener: l, MaxTCPQueries: -1, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		replies.Go(func() {
			time.Sleep(rand.N(2 * time.Millisecond))
			m := new(dns.Msg).SetReply(q)
			name := q.Question[0].Name
			m.Answer = append(m.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
				Txt: []string{name},
			})
			_ = w.WriteMsg(m)
		})
	})}
	served := make(chan error, 1)
	go func() { served <- srv.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = srv.Shutdown()
		<-served
		replies.Wait()
	})
	return l.Addr().String()
}

// The wire of DNS over TCP is gtcp's package protocol, with a number in the
// first two bytes. A client that took replies in order gave nearly every caller
// another's.
func TestDNSOutOfOrder(t *testing.T) {
	config := gtcp.ClientConfig{
		Format: framing.Format{MaxSize: 1<<16 - 1},
		Match:  pipeline.Number{Size: 2},
	}
	eachMode(t, dnsServer(t), config, func(t *testing.T, c *gtcp.Client) {
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				for j := range 20 {
					name := fmt.Sprintf("n%d-%d.test.", i, j)
					if got, err := lookup(t, c, name); err != nil || got != name {
						t.Errorf("asked for %s, got %q, %v", name, got, err)
						return
					}
				}
			})
		}
		callers.Wait()
		if s := c.Stat().Pipeline; s.Calls > 0 && s.Dials != 1 {
			t.Errorf("%d connections", s.Dials)
		}
	})
}

// lookup asks for a text record. All callers use the same number, which the
// client replaces by its own and gives back.
func lookup(t *testing.T, c *gtcp.Client, name string) (string, error) {
	q := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	q.Id = 4711
	request, err := q.Pack()
	if err != nil {
		return "", err
	}
	reply, err := c.Call(t.Context(), request)
	if err != nil {
		return "", err
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		return "", err
	}
	if m.Id != q.Id || len(m.Answer) != 1 {
		return "", fmt.Errorf("reply %v", &m)
	}
	return m.Answer[0].(*dns.TXT).Txt[0], nil
}
