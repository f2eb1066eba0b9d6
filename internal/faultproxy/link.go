package faultproxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is one client's connection and the one made for it to the target.
type link struct {
	proxy  *Proxy
	client *net.TCPConn
	plan   Plan
	seed   uint64
	done   chan struct{} // closed with the link

	mu     sync.Mutex // guards server and closed
	server *net.TCPConn
	closed bool
}

func (l *link) run(target string) {
	defer l.proxy.untrack(l)
	var d net.Dialer
	c, err := d.DialContext(l.proxy.ctx, "tcp", target)
	if err != nil {
		l.proxy.counts.dialErrors.Add(1)
		l.close(true)
		return
	}
	server := c.(*net.TCPConn)
	if !l.attach(server) {
		_ = server.Close()
		return
	}
	var wg sync.WaitGroup
	counts := &l.proxy.counts
	up := &pump{link: l, src: l.client, dst: server, fault: l.plan.Up, moved: &counts.up, seed: l.seed<<1 | 1}
	down := &pump{link: l, src: server, dst: l.client, fault: l.plan.Down, moved: &counts.down, seed: l.seed << 1}
	wg.Go(up.run)
	wg.Go(down.run)
	wg.Wait()
	l.close(false)
}

func (l *link) attach(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.server = server
	}
	return !l.closed
}

// close closes both connections, with a RST instead of a FIN if asked. It says
// false where that was done before.
func (l *link) close(reset bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	close(l.done)
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if c == nil {
			continue
		}
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close() // nothing can be done about an error, and nobody waits
	}
	return true
}

// pump moves one direction's bytes and does its fault.
type pump struct {
	link     *link
	src, dst *net.TCPConn
	fault    Fault
	moved    *atomic.Uint64 // the proxy's total of this direction
	seed     uint64

	sent int64 // this connection's
	rng  *rand.Rand
}

func (p *pump) run() {
	p.rng = rand.New(rand.NewPCG(p.seed, 0))
	buf := make([]byte, 32<<10)
	for !p.ended() {
		if !p.pass() {
			return
		}
		n, err := p.src.Read(buf)
		if n > 0 && !p.forward(buf[:n]) {
			return
		}
		switch {
		case err == nil:
		case err == io.EOF:
			_ = p.dst.CloseWrite() // fails only where dst is gone, and then the other pump hears of it
			return
		default:
			p.link.close(errors.Is(err, syscall.ECONNRESET))
			return
		}
	}
	p.end()
}

// forward writes b in the fault's chunks. It says false when this direction is
// over without an End.
func (p *pump) forward(b []byte) bool {
	for len(b) > 0 && !p.ended() {
		piece := b
		if p.fault.Chunk > 0 && len(piece) > p.fault.Chunk {
			piece = piece[:p.fault.Chunk]
			p.link.proxy.counts.splits.Add(1)
		}
		if p.fault.End != Never {
			piece = piece[:min(int64(len(piece)), p.fault.After-p.sent)]
		}
		if !p.delay() || !p.pass() {
			return false
		}
		n, err := p.dst.Write(piece)
		p.sent += int64(n)
		p.moved.Add(uint64(n))
		if err != nil {
			p.link.close(errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
			return false
		}
		b = b[n:]
	}
	return true
}

func (p *pump) ended() bool { return p.fault.End != Never && p.sent >= p.fault.After }

func (p *pump) end() {
	counts := &p.link.proxy.counts
	switch p.fault.End {
	case Truncate:
		counts.truncates.Add(1)
		_ = p.dst.CloseWrite() // the FIN goes before whatever Close sends
		p.link.close(false)
	case HalfClose:
		counts.halfCloses.Add(1)
		_ = p.dst.CloseWrite()
		_, _ = io.Copy(io.Discard, p.src)
	case Reset:
		counts.resets.Add(1)
		p.link.close(true)
	case Stall:
		counts.stalls.Add(1)
		_, _ = io.Copy(io.Discard, p.src)
		p.link.close(false) // its sender has gone; nobody is left to deceive
	}
}

// delay waits the fault's delay; it says false when the link closed meanwhile.
func (p *pump) delay() bool {
	d := p.fault.Delay
	if p.fault.Jitter > 0 {
		d += time.Duration(p.rng.Int64N(int64(p.fault.Jitter)))
	}
	if d <= 0 {
		return true
	}
	p.link.proxy.counts.delays.Add(1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.link.done:
		return false
	}
}

// pass waits while the proxy is frozen; false as in delay.
func (p *pump) pass() bool {
	select {
	case <-p.link.proxy.gate():
		return true
	case <-p.link.done:
		return false
	}
}
