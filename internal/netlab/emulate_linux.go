package netlab

import (
	"container/heap"
	"sync"
	"time"
)

// read passes on what one host sends, until its device is closed.
func (l *Lab) read(h *Host) {
	buf := make([]byte, 1<<16)
	for {
		n, err := h.tun.Read(buf)
		if err != nil {
			return
		}
		if p, ok := parse(buf[:n]); ok {
			l.pass(h, p)
		}
	}
}

// pass gives a packet to its receiver as the faults say. Its bytes are used
// after pass returns only in a copy.
func (l *Lab) pass(from *Host, p packet) {
	now := time.Now()
	l.mu.Lock()
	to := l.hosts[p.dst]
	if to == nil || to.down || from.down {
		l.mu.Unlock()
		return
	}
	d, idle := l.way(from, to), time.Duration(0)
	if p.tcp != nil {
		key := p.flow()
		if last, ok := l.last[key]; ok {
			idle = now.Sub(last)
		}
		if p.opens() {
			idle = 0 // the ports are in use again
		}
		l.last[key] = now
	}
	forth, back := d.pass(now, p, idle, l.random)
	l.mu.Unlock()
	if back != nil {
		l.write(from, back)
	}
	for _, f := range forth {
		if f.at.Equal(now) {
			l.write(to, f.raw)
		} else {
			l.later.add(f.at, to, append([]byte(nil), f.raw...))
		}
	}
}

// write puts a packet into a host. A device that is gone or full loses it, as
// networks do.
func (l *Lab) write(to *Host, raw []byte) { _, _ = to.tun.Write(raw) }

// postbox holds packets until they arrive.
type postbox struct {
	mu      sync.Mutex // guards: queue, count
	queue   letters
	count   int
	wake    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup
	deliver func(*Host, []byte)
}

type letter struct {
	at  time.Time
	nth int // letters of one moment keep their order
	to  *Host
	raw []byte
}

type letters []letter

func (q letters) Len() int { return len(q) }
func (q letters) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].nth < q[j].nth
}
func (q letters) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *letters) Push(x any)   { *q = append(*q, x.(letter)) }
func (q *letters) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

func (b *postbox) start(deliver func(*Host, []byte)) {
	b.deliver = deliver
	b.wake, b.quit = make(chan struct{}, 1), make(chan struct{})
	b.done.Go(b.run)
}

func (b *postbox) stop() {
	close(b.quit)
	b.done.Wait()
}

func (b *postbox) add(at time.Time, to *Host, raw []byte) {
	b.mu.Lock()
	b.count++
	heap.Push(&b.queue, letter{at, b.count, to, raw})
	first := b.queue[0].nth == b.count
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

func (b *postbox) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := b.take(time.Now())
		for _, d := range due {
			b.deliver(d.to, d.raw)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.quit:
			return
		}
	}
}

// take returns what has arrived, in its order, and how long it is until more has.
func (b *postbox) take(now time.Time) (due []letter, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 && !b.queue[0].at.After(now) {
		due = append(due, heap.Pop(&b.queue).(letter))
	}
	if len(b.queue) == 0 {
		return due, time.Hour
	}
	return due, b.queue[0].at.Sub(now)
}
