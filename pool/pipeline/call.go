package pipeline

import "sync"

// call is one request on its way. Its owner is the caller, who also owns dst,
// until the caller gives up; then the link it is queued on.
type call struct {
	// done receives one value when a permit is granted, and one when resp and
	// err are final.
	done  chan struct{}
	dst   []byte
	reply []byte
	err   error
	move  bool // settled without a fault of its own: try another link

	// Guarded by the mutex of the link it was submitted to.
	start     uint64 // offset of the frame in the link's stream
	size      int    // bytes of the frame
	queued    bool   // in the link's queue: nobody has settled it yet
	abandoned bool   // the caller has left, its reply is to be dropped
}

func makeCall() any { return &call{done: make(chan struct{}, 1)} }

// callPool keeps calls that have ended for others.
type callPool struct{ sync.Pool }

func (p *callPool) get(dst []byte) *call {
	c := p.Get().(*call)
	c.dst = dst
	return c
}

// put gives c back; nobody may hold it any more, and done must be empty.
func (p *callPool) put(c *call) {
	*c = call{done: c.done}
	p.Put(c)
}

// finish tells the caller what it waits for.
func (c *call) finish() { c.done <- struct{}{} }

// queue is a first-in-first-out ring of calls.
type queue struct {
	ring []*call // length a power of two, or zero
	head int
	n    int
}

func (q *queue) len() int { return q.n }

// at returns the i-th oldest call.
func (q *queue) at(i int) *call { return q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) push(c *call) {
	if q.n == len(q.ring) {
		ring := make([]*call, max(16, 2*q.n))
		for i := range q.n {
			ring[i] = q.at(i)
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = c
	q.n++
}

func (q *queue) pop() *call {
	c := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return c
}

// remove takes out the i-th oldest call.
func (q *queue) remove(i int) {
	mask := len(q.ring) - 1
	for ; i < q.n-1; i++ {
		q.ring[(q.head+i)&mask] = q.ring[(q.head+i+1)&mask]
	}
	q.ring[(q.head+q.n-1)&mask] = nil
	q.n--
}

// drop takes c out, if it is there.
func (q *queue) drop(c *call) bool {
	for i := range q.n {
		if q.at(i) == c {
			q.remove(i)
			return true
		}
	}
	return false
}
