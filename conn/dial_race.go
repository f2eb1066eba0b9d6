package conn

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// nextAddressAfter is how long an attempt may take before the next address
	// is tried beside it (RFC 8305 has 250 ms, RFC 6555 300).
	nextAddressAfter = 300 * time.Millisecond
	// anotherAfter is how long, once all addresses are being tried, before one
	// of them is tried again, and the name is resolved again. The system sends
	// the packet that opens a connection again after 1, 3, 7, 15 s, so that
	// after an outage it could take seconds to notice that the network is
	// back; and the name of a host that died may have moved to another.
	anotherAfter = time.Second
	// maxAttempts bounds the attempts of one dial at the same time. The first
	// goes on for as long as the dial may take, for a peer that is far away;
	// of the others the oldest gives way to a new one.
	maxAttempts = 3
)

// race connects to the first of several addresses that can be reached. It is
// used by one goroutine; each attempt has one of its own, which ends before
// run returns.
type race struct {
	dial    func(ctx context.Context, addr string) (net.Conn, error)
	addrs   []string // that have not failed
	next    int      // index in addrs of the one to try next
	fresh   int      // how many have not been tried
	running []*attempt
	waiting int // for so many attempts, those that gave way included
	ended   chan *attempt
	err     error // of the first attempt that failed

	resolve   func(ctx context.Context) ([]string, error) // nil if there is no name
	resolving bool
	resolved  chan []string
	known     map[string]bool // all addresses so far; made by the first resolve
}

// attempt is one attempt to connect to one address.
type attempt struct {
	addr    string
	cancel  context.CancelFunc
	dropped bool // it gave way to another; belongs to the race's goroutine
	nc      net.Conn
	err     error
}

// run returns the first connection, and the addresses that were tried before
// its own.
func (r *race) run(ctx context.Context) (nc net.Conn, addr string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	r.ended, r.resolved = make(chan *attempt), make(chan []string)
	r.fresh = len(r.addrs)
	defer r.stop(cancel)
	r.start(ctx)
	timer := time.NewTimer(r.pace())
	defer timer.Stop()
	for {
		select {
		case a := <-r.ended:
			r.waiting--
			switch {
			case a.err == nil:
				return a.nc, a.addr, nil
			case a.dropped:
				continue
			case hasEnded(ctx):
				return nil, "", a.err
			}
			r.failed(a)
			switch {
			case len(r.addrs) == 0 && len(r.running) == 0:
				return nil, "", r.err
			case r.fresh > 0 || len(r.running) == 0:
				r.start(ctx)
				timer.Reset(r.pace())
			}
		case <-timer.C:
			if r.fresh == 0 {
				r.resolveAgain(ctx)
			}
			if len(r.addrs) > 0 {
				r.start(ctx)
			}
			timer.Reset(r.pace())
		case addrs := <-r.resolved:
			r.resolving = false
			if r.add(addrs) {
				r.start(ctx)
				timer.Reset(r.pace())
			}
		}
	}
}

// pace is when the next attempt is due.
func (r *race) pace() time.Duration {
	if r.fresh > 0 {
		return nextAddressAfter
	}
	return anotherAfter
}

// start begins an attempt at the next address.
func (r *race) start(ctx context.Context) {
	if len(r.running) == maxAttempts {
		oldest := r.running[1]
		oldest.dropped = true
		r.forget(oldest)
	}
	a := &attempt{addr: r.addrs[r.next%len(r.addrs)]}
	r.next = (r.next + 1) % len(r.addrs)
	r.fresh = max(0, r.fresh-1)
	ctx, a.cancel = context.WithCancel(ctx)
	r.running = append(r.running, a)
	r.waiting++
	go func() {
		a.nc, a.err = r.dial(ctx, a.addr)
		r.ended <- a
	}()
}

// resolveAgain resolves the name beside the attempts, once at a time.
func (r *race) resolveAgain(ctx context.Context) {
	if r.resolve == nil || r.resolving {
		return
	}
	if r.known == nil {
		r.known = make(map[string]bool)
		for _, addr := range r.addrs {
			r.known[addr] = true
		}
	}
	r.resolving = true
	go func() {
		addrs, _ := r.resolve(ctx) // without a reply the old addresses stay
		r.resolved <- addrs
	}()
}

// add puts new addresses before those that have been tried. It reports whether
// there were any.
func (r *race) add(addrs []string) bool {
	var fresh []string
	for _, addr := range addrs {
		if !r.known[addr] {
			r.known[addr] = true
			fresh = append(fresh, addr)
		}
	}
	if len(fresh) > 0 {
		r.addrs = append(fresh, r.addrs...)
		r.next, r.fresh = 0, len(fresh)
	}
	return len(fresh) > 0
}

// failed takes out an attempt that failed, and its address.
func (r *race) failed(a *attempt) {
	r.forget(a)
	if r.err == nil {
		r.err = a.err
	}
	for i, addr := range r.addrs {
		if addr == a.addr {
			r.addrs = append(r.addrs[:i:i], r.addrs[i+1:]...)
			if i < r.next {
				r.next--
			}
			break
		}
	}
}

// forget ends an attempt, and takes it out of those that are running.
func (r *race) forget(a *attempt) {
	a.cancel()
	for i, b := range r.running {
		if a == b {
			r.running = append(r.running[:i:i], r.running[i+1:]...)
			return
		}
	}
}

// stop ends all attempts except the one that was returned, and waits for them.
func (r *race) stop(cancel context.CancelFunc) {
	cancel()
	if r.resolving {
		<-r.resolved
	}
	for ; r.waiting > 0; r.waiting-- {
		if a := <-r.ended; a.nc != nil {
			_ = a.nc.Close() // nobody has seen it
		}
	}
}

// hasEnded reports whether ctx has ended, or its deadline has passed, which the
// socket's clock may see first.
func hasEnded(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// addresses resolves the host in address for network. It returns address as it
// is where there is no name to resolve, or where net has an error of its own to
// report.
func (d *Dialer) addresses(ctx context.Context, network, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return []string{address}, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{address}, nil
	}
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	ips, err := resolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
	if err == nil && len(ips) == 0 {
		err = &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: d.LocalAddr, Err: err}
	}
	ips = mixed(d.reachable(ips))
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = net.JoinHostPort(ip.String(), port)
	}
	return d.memory.sort(addrs), nil
}

// reachable returns those of ips that can be reached from LocalAddr, or all if
// there are none.
func (d *Dialer) reachable(ips []netip.Addr) []netip.Addr {
	local, _ := d.LocalAddr.(*net.TCPAddr)
	if local == nil || local.IP == nil || local.IP.IsUnspecified() {
		return ips
	}
	var family []netip.Addr
	for _, ip := range ips {
		if ip.Unmap().Is4() == (local.IP.To4() != nil) {
			family = append(family, ip)
		}
	}
	if family == nil {
		return ips
	}
	return family
}

// mixed returns the addresses so that the two families take turns, each in the
// order of the resolver, which knows the better (RFC 6724).
func mixed(ips []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if len(first) == 0 || ip.Is4() == first[0].Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	all := make([]netip.Addr, 0, len(ips))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			all = append(all, first[i])
		}
		if i < len(second) {
			all = append(all, second[i])
		}
	}
	return all
}

const (
	// badFor is how long an address that was overtaken is tried last.
	badFor = time.Minute
	// maxBad bounds the addresses that are remembered.
	maxBad = 64
)

// addrMemory remembers the addresses of a name that failed, or were slower than
// another, so that the next dial begins with one that worked. A nil addrMemory
// remembers nothing.
type addrMemory struct {
	mu  sync.Mutex           // guards the field below
	bad map[string]time.Time // until when
}

// sort puts the addresses that were overtaken lately behind the others.
func (m *addrMemory) sort(addrs []string) []string {
	if m == nil {
		return addrs
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	good := make([]string, 0, len(addrs))
	var bad []string
	for _, addr := range addrs {
		if until, known := m.bad[addr]; known && now.Before(until) {
			bad = append(bad, addr)
		} else {
			good = append(good, addr)
		}
	}
	return append(good, bad...)
}

// worked notes that addr was reached when those before it in addrs had not
// been.
func (m *addrMemory) worked(addrs []string, addr string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bad, addr)
	for _, tried := range addrs {
		if tried == addr {
			return
		}
		if m.bad == nil || len(m.bad) >= maxBad {
			m.bad = make(map[string]time.Time)
		}
		m.bad[tried] = time.Now().Add(badFor)
	}
}
