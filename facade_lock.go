package gtcp

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

// ioLock is a mutex whose wait can be bounded. It is held across I/O: one lock
// for each direction of a connection keeps each message whole. Callers get it
// in the order in which they asked.
type ioLock struct {
	state atomic.Int32 // lockFree, lockHeld or lockWanted; lockWanted is written with mu held

	mu      sync.Mutex // guards waiters; never held across I/O
	waiters *list.List // of chan struct{}, which is closed to grant the lock; made by the first waiter
}

const (
	lockFree   int32 = iota
	lockHeld         // by somebody, and nobody waits
	lockWanted       // by somebody, and somebody may wait
)

// tryLock takes the lock if it is free.
func (l *ioLock) tryLock() bool { return l.state.CompareAndSwap(lockFree, lockHeld) }

// lock takes the lock and reports whether it got it before the time by. The
// zero time means no bound.
func (l *ioLock) lock(by time.Time) bool {
	if l.tryLock() {
		return true
	}
	if !by.IsZero() && !time.Now().Before(by) {
		return false
	}
	l.mu.Lock()
	if l.state.Swap(lockWanted) == lockFree {
		l.mu.Unlock()
		return true
	}
	if l.waiters == nil {
		l.waiters = list.New()
	}
	granted := make(chan struct{})
	place := l.waiters.PushBack(granted)
	l.mu.Unlock()
	if by.IsZero() {
		<-granted
		return true
	}
	late := time.NewTimer(time.Until(by))
	defer late.Stop()
	select {
	case <-granted:
		return true
	case <-late.C:
		return !l.leave(place)
	}
}

// leave takes a waiter out of the queue. It reports false where the lock has
// been granted to the waiter meanwhile.
func (l *ioLock) leave(place *list.Element) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if place.Value == nil {
		return false
	}
	l.waiters.Remove(place)
	return true
}

// unlock passes the lock to the caller that has waited longest, or frees it.
func (l *ioLock) unlock() {
	if l.state.CompareAndSwap(lockHeld, lockFree) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters == nil || l.waiters.Len() == 0 {
		l.waiters = nil
		l.state.Store(lockFree)
		return
	}
	place := l.waiters.Front()
	l.waiters.Remove(place)
	close(place.Value.(chan struct{}))
	place.Value = nil
}
